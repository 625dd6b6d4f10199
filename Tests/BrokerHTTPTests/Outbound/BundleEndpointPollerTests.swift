import Broker
import BrokerHTTP
import BrokerTesting
import JOSE
import Logging
import ServiceLifecycle
import SPIFFE
import Testing

@Suite(.onOwnThreads, .timeLimit(.minutes(2))) struct `Bundles that come from endpoints` {
    private let prod: TestTrustDomain
    private let test: TestTrustDomain
    private let bundles: TrustBundles
    private let store = MemoryStore()
    private let masterKey: MasterKey
    private let clock = ManualClock()
    private let naps = ScriptedSleep()
    private let log = LogRecorder()
    private let endpoint = BundleEndpoint(url: "https://a.example/", profile: .web)

    init() throws {
        prod = try TestTrustDomain()
        test = try TestTrustDomain("test.example.com")
        masterKey = try MasterKey.generate().0
        let endpoint = endpoint
        bundles = TrustBundles(
            [prod, test].map { .init(name: $0.name, bundle: .endpoint(endpoint), audience: "us") }, clock: clock)
    }

    private func fetched(_ domain: TestTrustDomain, by fetcher: StubBundleFetcher) -> EndpointBundle {
        EndpointBundle(
            domain.name, endpoint, fetcher: fetcher, bundles: bundles, store: store, masterKey: masterKey, clock: clock)
    }

    private func poller(_ endpoints: EndpointBundle...) -> BundleEndpointPoller {
        BundleEndpointPoller(endpoints, logger: log.logger, sleep: naps.sleep, jitter: { 1 })
    }

    private func document(_ domain: TestTrustDomain, _ sequence: Double, hint: Double? = nil) -> [UInt8] {
        TestTrustDomain.json(
            authorities: [domain.ca], signers: [domain.signer], sequence: sequence, refreshHint: hint)
    }

    /// Runs `body` beside the poller, which is cancelled afterwards and has to end.
    private func running(_ poller: BundleEndpointPoller, _ body: () async throws -> Void) async throws {
        let task = Task(executorPreference: OwnThreads.shared) { await poller.run() }
        do {
            try await body()
        } catch {
            task.cancel()
            throw error
        }
        task.cancel()
        await task.value
    }

    @Test func `are fetched at start, and then as often as the bundle says`() async throws {
        let fetcher = StubBundleFetcher(document(prod, 1, hint: 60))
        try await running(poller(fetched(prod, by: fetcher))) {
            let first = await naps.next()
            #expect(fetcher.calls == 1 && first.duration == .seconds(60))
            #expect(bundles.statuses[0].isUsable)
            fetcher.serve(document(prod, 2, hint: 90))
            first.end()
            let second = await naps.next()
            #expect(fetcher.calls == 2 && second.duration == .seconds(90))
        }
    }

    @Test func `are tried again at the next interval only, and are logged when something is new`() async throws {
        let fetcher = StubBundleFetcher()
        try await running(poller(fetched(prod, by: fetcher))) {
            let first = await naps.next()
            #expect(fetcher.calls == 1 && first.duration == .seconds(300))
            first.end()
            let second = await naps.next()
            #expect(fetcher.calls == 2 && second.duration == .seconds(300))
            let steps: [() -> Void] = [
                { fetcher.serve(document(prod, 5, hint: 60)) }, {}, { fetcher.fail("gone") }, {},
                { fetcher.serve(document(prod, 4)) }, { fetcher.serve(document(prod, 5, hint: 60)) },
                { fetcher.serve(Array(#"{"keys": [], "spiffe_sequence": 6}"#.utf8)) },
                { store.fail(with: StoreFailure(.unavailable, "write", cause: "full", file: "f", line: 1)) },
                { fetcher.serve(document(prod, 7)) },
            ]
            var nap = second
            for (index, step) in steps.enumerated() {
                step()
                nap.end()
                nap = await naps.next()
                #expect(fetcher.calls == index + 3)
                #expect(nap.duration == (index < 6 ? .seconds(60) : .seconds(300)))
            }
        }
        let name = "trust_domain=prod.example.com"
        let failed = "warning a trust bundle cannot be had from its endpoint reason="
        let fetched = "notice a trust bundle was fetched authorities=1 ignored=0 keys=1 sequence="
        #expect(
            log.lines == [
                "\(failed)down \(name)", "\(fetched)5 \(name)", "\(failed)gone \(name)",
                "\(failed)the bundle has the sequence 4, after one with 5 \(name)", "\(fetched)5 \(name)",
                "warning a trust bundle trusts nobody: every SVID of its domain is refused authorities=0 ignored=0 keys=0 "
                    + "sequence=6 \(name)",
                "\(fetched)7 \(name)",
                "warning a trust bundle cannot be stored reason=the bundle is trusted, but could not be stored: "
                    + "write: unavailable: full (f:1) \(name)",
            ])
    }

    @Test func `of one domain do not wait for an endpoint of another that hangs`() async throws {
        let hanging = StubBundleFetcher(document(prod, 1))
        hanging.hold()
        let healthy = StubBundleFetcher(document(test, 1))
        try await running(poller(fetched(prod, by: hanging), fetched(test, by: healthy))) {
            await hanging.untilCalled()
            for round in 1...3 {
                let nap = await naps.next()
                #expect(healthy.calls == round)
                nap.end()
            }
            #expect(hanging.calls == 1)
            #expect(bundles.statuses.map(\.isUsable) == [false, true])
        }
        hanging.release()
    }

    @Test func `of one domain say nothing about another`() async throws {
        let swapped = StubBundleFetcher(document(test, 9))
        let good = StubBundleFetcher(document(test, 1))
        try await running(poller(fetched(prod, by: swapped), fetched(test, by: good))) {
            _ = await naps.next()
            _ = await naps.next()
        }
        #expect(bundles.statuses.map(\.sequence) == [9, 1])
        #expect(try await store.trustBundle(of: prod.name)?.sequence == 9)
        #expect(try await store.trustBundle(of: test.name)?.sequence == 1)
    }

    @Test func `hold up no graceful shutdown, neither in sleep nor in a fetch`() async throws {
        let hanging = StubBundleFetcher(document(prod, 1))
        hanging.hold()
        let service = poller(fetched(prod, by: hanging), fetched(test, by: StubBundleFetcher(document(test, 1))))
        let group = ServiceGroup(services: [service], logger: log.logger)
        let task = Task(executorPreference: OwnThreads.shared) { try await group.run() }
        await hanging.untilCalled()
        _ = await naps.next()
        await group.triggerGracefulShutdown()
        try await task.value
        hanging.release()
        // What was under way counts for nothing.
        #expect(bundles.statuses[0].failureCount == 0 && bundles.statuses[0].sequence == nil)
    }

    @Test func `may be none, and the poller runs until it is told to stop`() async throws {
        let group = ServiceGroup(services: [poller()], logger: log.logger)
        let task = Task(executorPreference: OwnThreads.shared) { try await group.run() }
        await group.triggerGracefulShutdown()
        // Had the service ended by itself, the group would have failed.
        try await task.value
    }
}
