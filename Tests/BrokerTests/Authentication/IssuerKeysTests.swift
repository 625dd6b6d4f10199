import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

/// Which key a look-up finds, and how many fetches it may cost.
@Suite struct IssuerKeysTests {
    private let clock = ManualClock()

    private func keys(_ fetcher: StubKeySetFetcher, _ policy: IssuerKeys.Policy = .init()) throws -> IssuerKeys {
        IssuerKeys(name: try Fixture.name(), fetcher: fetcher, clock: clock, policy: policy)
    }

    private func set(_ keyIDs: ExactString...) throws -> JWKSet {
        let quick = try Fixture.quick
        return try JWKSet(parsing: TestIssuer.jwks(of: keyIDs.map { quick.presenting(keyID: $0) }))
    }

    @Test func `keys from a file are found without a fetch, and never change`() async throws {
        let keys = IssuerKeys(name: try Fixture.name(), keys: try set("a"), clock: clock)
        #expect(await keys.key("a").isFound)
        #expect(await keys.key("b").isUnknown)
        await keys.refresh()
        clock.advance(by: .seconds(1_000_000))
        #expect(await keys.key("a").isFound)
        #expect(keys.untilNextRefresh(jitter: 0) == nil)
        #expect(keys.status.isUsable && keys.status.keyCount == 1 && keys.status.age == nil)
    }

    @Test func `a first look-up fetches, and later ones find`() async throws {
        let fetcher = StubKeySetFetcher(try set("a"))
        let keys = try keys(fetcher)
        #expect(!keys.status.isUsable)
        #expect(await keys.key("a").isFound)
        #expect(await keys.key("a").isFound)
        #expect(fetcher.calls == 1)
    }

    @Test func `a hundred look-ups at once cause one fetch and all get its answer`() async throws {
        let fetcher = StubKeySetFetcher(try set("a"))
        fetcher.hold()
        let keys = try keys(fetcher)
        let found = await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<100 { group.addTask { await keys.key("a").isFound } }
            await fetcher.untilCalled()
            fetcher.release()
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(found == 100)
        #expect(fetcher.calls == 1)
    }

    @Test(arguments: [false, true])
    func `ten thousand invented key ids cause one fetch in 30 seconds, also while the set is empty`(
        isEmpty: Bool
    ) async throws {
        let fetcher = StubKeySetFetcher(try isEmpty ? set() : set("a"))
        let keys = try keys(fetcher)
        await keys.refresh()
        for index in 0..<10_000 { #expect(await keys.key(ExactString("random\(index)")).isUnknown) }
        #expect(fetcher.calls == 2)
        if !isEmpty { #expect(await keys.key("a").isFound) }
        clock.advance(by: .seconds(29))
        _ = await keys.key("x")
        #expect(fetcher.calls == 2)
        clock.advance(by: .seconds(1))
        _ = await keys.key("y")
        _ = await keys.key("z")
        #expect(fetcher.calls == 3)
    }

    @Test func `invented key ids at once, from many tasks, cause one fetch`() async throws {
        let fetcher = StubKeySetFetcher(try set("a"))
        let keys = try keys(fetcher)
        await keys.refresh()
        await withTaskGroup(of: Void.self) { group in
            for task in 0..<50 {
                group.addTask { for index in 0..<200 { _ = await keys.key(ExactString("\(task)/\(index)")) } }
            }
        }
        #expect(fetcher.calls == 2)
    }

    @Test func `a key that the issuer just published is found by the fetch that it causes`() async throws {
        let fetcher = StubKeySetFetcher(try set("a"))
        let keys = try keys(fetcher)
        await keys.refresh()
        fetcher.answer(try set("a", "b"))
        #expect(await keys.key("b").isFound)
    }

    @Test func `while the issuer fails, invented key ids cause one fetch in 30 seconds`() async throws {
        let fetcher = StubKeySetFetcher()
        let keys = try keys(fetcher)
        for index in 0..<100 {
            guard case .unavailable(let reason) = await keys.key(ExactString("\(index)")) else {
                Issue.record("available")
                return
            }
            #expect(reason == "nothing was scripted")
        }
        #expect(fetcher.calls == 1)
        clock.advance(by: .seconds(30))
        fetcher.answer(try set("a"))
        #expect(await keys.key("a").isFound)
    }

    @Test func `more than a thousand do not wait, and all are answered`() async throws {
        let fetcher = StubKeySetFetcher(try set("a"))
        let keys = try keys(fetcher)
        await keys.refresh()
        fetcher.hold()
        let answers = AnswerCount()
        await withTaskGroup(of: Void.self) { group in
            group.addTask { _ = await keys.key("first") }
            await fetcher.untilCalled(2)
            for index in 0..<1200 {
                group.addTask {
                    let isUnknown = await keys.key(ExactString("\(index)")).isUnknown
                    await answers.add(isUnknown)
                }
            }
            // Those above the bound do not wait for the fetch, which is still held.
            await answers.reached(200)
            #expect(await keys.key("a").isFound, "a key that is known needs no fetch")
            fetcher.release()
        }
        #expect(await answers.unknown == 1200)
        #expect(fetcher.calls == 2)
    }

    @Test func `a look-up that is cancelled does not end the fetch that others wait for`() async throws {
        let fetcher = StubKeySetFetcher(try set("a"))
        fetcher.hold()
        let keys = try keys(fetcher)
        let first = Task { await keys.key("a") }
        await fetcher.untilCalled()
        let second = Task { await keys.key("a") }
        first.cancel()
        second.cancel()
        fetcher.release()
        #expect(await first.value.isFound)
        #expect(await second.value.isFound)
        #expect(await keys.key("a").isFound)
        #expect(fetcher.calls == 1)
    }
}

/// Counts answers and lets a test wait for a number of them.
private actor AnswerCount {
    private(set) var unknown = 0
    private var total = 0
    private var waiting: (count: Int, CheckedContinuation<Void, Never>)?

    func add(_ isUnknown: Bool) {
        total += 1
        unknown += isUnknown ? 1 : 0
        if let (count, continuation) = waiting, total >= count {
            waiting = nil
            continuation.resume()
        }
    }

    func reached(_ count: Int) async {
        guard total < count else { return }
        await withCheckedContinuation { waiting = (count, $0) }
    }
}

extension IssuerKeys.LookUp {
    var isFound: Bool { if case .found = self { true } else { false } }
    var isUnknown: Bool { if case .unknown = self { true } else { false } }
    var isUnavailable: Bool { if case .unavailable = self { true } else { false } }
}
