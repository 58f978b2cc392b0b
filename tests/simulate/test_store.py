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
