"""The verbs for using a model: over HTTP, and in the terminal."""

from typing import Annotated, Literal

import typer

from humanturn import console

using = typer.Typer()


@using.command(epilog=console.example("humanturn serve hf:runs/demo/user --port 8000"))
def serve(
    spec: Annotated[str, typer.Argument(metavar="SPEC", help="model to serve")],
    port: Annotated[int, typer.Option(help="0 takes a free one")] = 8000,
    host: Annotated[str, typer.Option()] = "127.0.0.1",
    roles: Annotated[
        Literal["plain", "flipped"], typer.Option(help="flipped: clients call the simulated user 'assistant'")
    ] = "plain",
    name: Annotated[str | None, typer.Option(help="what clients call the model [SPEC]")] = None,
    api_key_env: Annotated[
        str | None,
        typer.Option(help="variable that holds the key clients must bring [HUMANTURN_API_KEY, if set]", metavar="NAME"),
    ] = None,
    concurrency: Annotated[int, typer.Option(help="replies at work; more get 429")] = 128,
    max_body: Annotated[int, typer.Option(help="bytes of a request")] = 1 << 20,
    max_tokens: Annotated[int, typer.Option(help="length of a reply whose client names none")] = 1024,
) -> None:
    """Serve a model over the OpenAI chat-completions protocol."""
    from humanturn.serve.stage import serve as work

    work(
        spec, host=host, port=port, roles=roles, name=name, api_key_env=api_key_env,
        concurrency=concurrency, max_body=max_body, max_tokens=max_tokens,
    )  # fmt: skip


@using.command(
    epilog=console.example("humanturn chat hf:runs/demo/user --with embedded --rounds 1 --max-tokens 24 --seed 1")
)
def chat(
    spec: Annotated[str, typer.Argument(metavar="SPEC", help="a user model, or an assistant")],
    with_spec: Annotated[
        str | None, typer.Option("--with", help="the assistant that answers in your place", metavar="SPEC")
    ] = None,
    role: Annotated[
        Literal["user", "assistant"] | None, typer.Option(help="what SPEC plays [as its folder says]")
    ] = None,
    rounds: Annotated[int, typer.Option(help="how long two models talk before you are asked")] = 4,
    seed: Annotated[int | None, typer.Option(help="of what models say [drawn]")] = None,
    temperature: Annotated[float, typer.Option()] = 0.7,
    max_tokens: Annotated[int, typer.Option(help="longest turn of a model")] = 512,
) -> None:
    """Talk with a model: as the assistant of a user model, or watch two models talk."""
    from humanturn.serve.chat import chat as work

    talk = work(
        spec, with_spec=with_spec, role=role, rounds=rounds, seed=seed, temperature=temperature, max_tokens=max_tokens
    )
    console.last_line({"rounds": talk.rounds(), "turns": len(talk.messages), "seed": talk.meta["seed"]})
