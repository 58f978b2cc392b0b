"""Compile the one C file of humanturn where there is a compiler; without one, the same is done in Python, slower."""

import os
import shlex
import subprocess
import sysconfig
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = Path("src/humanturn/analyze/_stretches.c")


class CustomBuildHook(BuildHookInterface):
    """Hatch runs this for wheels and editable installs."""

    def initialize(self, version, build_data):
        """Compile, and make the wheel one of this platform when that went well."""
        source = Path(self.root) / SOURCE
        target = source.with_suffix(sysconfig.get_config_var("EXT_SUFFIX") or ".so")
        compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
        include = sysconfig.get_paths()["include"]
        command = [*compiler, "-O2", "-shared", "-fPIC", f"-I{include}", str(source), "-o", str(target)]
        try:
            subprocess.run(command, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            self.app.display_warning(f"{SOURCE} was not compiled ({error}); MTLD is measured in Python, more slowly")
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["artifacts"].append(f"/{target.relative_to(self.root)}")
