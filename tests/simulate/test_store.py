from humanturn.conversation import Turn
from humanturn.records import Reply
from humanturn.simulate.store import PAGE, Job, Store


def test_jobs_are_read_page_by_page_while_they_are_being_finished(tmp_path):
    store = Store(tmp_path / "store.sqlite")
    store.add_jobs(Job(number, seed=number) for number in range(2 * PAGE + 10))
    seen = []
    for job in store.jobs("open"):
        seen.append(job.id)
        if job.id % 3:
            store.finish(job.id, "rounds")
    assert seen == list(range(2 * PAGE + 10))
    assert store.count("open") == len(list(store.jobs("open"))) == len(range(0, 2 * PAGE + 10, 3))
    assert [job.id for job in store.jobs("open", PAGE, PAGE + 9)] == [n for n in range(PAGE, PAGE + 9) if n % 3 == 0]
    store.close()


def test_an_opening_after_which_nothing_was_said_is_no_simulated_conversation(tmp_path):
    opening = (Turn("user", "What is rye?"), Turn("assistant", "A grain."))
    store = Store(tmp_path / "store.sqlite")
    store.add_jobs([Job(n, n, opening=opening) for n in range(2)])
    for position, (role, text) in enumerate((("user", "And oats?"), ("assistant", "Another.")), 2):
        store.commit(Job(1, 1), position, 0, role, Reply(text, "m", 1, 1, "stop"), None)
    for number in range(2):
        store.finish(number, "guards")
    assert [c.id for c in store.conversations("trained")] == ["sim-000001"]
    store.close()
