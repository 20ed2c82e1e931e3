from .bench import Bench


async def test_smoke():
    async with Bench() as bench:
        d = bench.deliver()
        await bench.quiet()
        assert d.acked == 1
        print(bench.order(), bench.agent.journal)
        assert bench.types() == ["conversation-created", "new-message", "interaction-complete"]
