import Broker
import BrokerHTTP
import BrokerTesting
import JOSE
import Logging
import ServiceLifecycle
import Synchronization
import Testing

@Suite(.onOwnThreads, .timeLimit(.minutes(2))) struct IssuerKeysRefresherTests {
    private let clock = ManualClock()
    private let naps = ScriptedSleep()
    private let log = LogRecorder()

    private func keys(_ name: String, _ fetcher: StubKeySetFetcher) throws -> IssuerKeys {
        IssuerKeys(name: try #require(IssuerName(parsing: name)), fetcher: fetcher, clock: clock)
    }

    private func refresher(_ issuers: IssuerKeys...) -> IssuerKeysRefresher {
        IssuerKeysRefresher(issuers, logger: log.logger, sleep: naps.sleep, jitter: { 0 })
    }

    /// Runs `body` beside the refresher, which is cancelled afterwards and has to end.
    private func running(_ refresher: IssuerKeysRefresher, _ body: () async throws -> Void) async throws {
        let task = Task(executorPreference: OwnThreads.shared) { await refresher.run() }
        do {
            try await body()
        } catch {
            task.cancel()
            throw error
        }
        task.cancel()
        await task.value
    }

    @Test func `keys are fetched at start and again at four fifths of their life`() async throws {
        let set = try TestIssuer(algorithm: .ES256).keySet
        let fetcher = StubKeySetFetcher(set, maximumAge: .seconds(1000))
        let issuer = try keys("corp", fetcher)
        try await running(refresher(issuer)) {
            let first = await naps.next()
            #expect(fetcher.calls == 1)
            #expect(issuer.status.isUsable)
            #expect(first.duration == .seconds(800))
            clock.advance(by: first.duration)
            first.end()
            let second = await naps.next()
            #expect(fetcher.calls == 2)
            #expect(second.duration == .seconds(800))
        }
    }

    @Test func `a failed fetch is tried again after half a minute`() async throws {
        let fetcher = StubKeySetFetcher()
        fetcher.fail()
        try await running(refresher(try keys("corp", fetcher))) {
            let nap = await naps.next()
            #expect(nap.duration == .seconds(30))
            clock.advance(by: nap.duration)
            nap.end()
            _ = await naps.next()
            #expect(fetcher.calls == 2)
        }
    }

    @Test func `an issuer that hangs does not hold up another`() async throws {
        let set = try TestIssuer(algorithm: .ES256).keySet
        let hanging = StubKeySetFetcher(set)
        hanging.hold()
        let healthy = StubKeySetFetcher(set)
        try await running(refresher(try keys("slow", hanging), try keys("corp", healthy))) {
            await hanging.untilCalled()
            for round in 1...3 {
                let nap = await naps.next()
                #expect(healthy.calls == round)
                clock.advance(by: nap.duration)
                nap.end()
            }
            #expect(hanging.calls == 1)
        }
        hanging.release()
    }

    @Test func `a graceful shutdown ends it while it sleeps and while it fetches`() async throws {
        let set = try TestIssuer(algorithm: .ES256).keySet
        let hanging = StubKeySetFetcher(set)
        hanging.hold()
        let service = refresher(try keys("slow", hanging), try keys("corp", StubKeySetFetcher(set)))
        let group = ServiceGroup(services: [service], logger: log.logger)
        let task = Task(executorPreference: OwnThreads.shared) { try await group.run() }
        await hanging.untilCalled()
        _ = await naps.next()
        await group.triggerGracefulShutdown()
        try await task.value
        hanging.release()
    }

    @Test func `without an issuer to refresh it runs until it is told to stop`() async throws {
        let set = try TestIssuer(algorithm: .ES256).keySet
        let fixed = IssuerKeys(name: try #require(IssuerName(parsing: "corp")), keys: set, clock: clock)
        let group = ServiceGroup(services: [refresher(fixed)], logger: log.logger)
        let task = Task(executorPreference: OwnThreads.shared) { try await group.run() }
        await group.triggerGracefulShutdown()
        // Had the service ended by itself, the group would have failed.
        try await task.value
    }

    @Test func `a failure is logged once until it changes, and so is the recovery`() async throws {
        let set = try TestIssuer(algorithm: .ES256).keySet
        let (bad, worse) = (KeySetFetchFailure("bad"), KeySetFetchFailure("worse"))
        let good = FetchedKeySet(keys: set, maximumAge: nil)
        let empty = FetchedKeySet(keys: try JWKSet(parsing: Array(#"{"keys":[]}"#.utf8)), maximumAge: nil)
        let fetcher = StubKeySetFetcher(
            .success(good), .failure(bad), .failure(bad), .failure(worse), .success(good), .success(good),
            .success(empty), .success(empty))
        try await running(refresher(try keys("corp", fetcher))) {
            for _ in 0..<7 {
                let nap = await naps.next()
                clock.advance(by: nap.duration)
                nap.end()
            }
            _ = await naps.next()
        }
        #expect(
            log.lines == [
                "debug the keys of an issuer were fetched issuer=corp",
                "warning the keys of an issuer cannot be fetched issuer=corp reason=bad",
                "warning the keys of an issuer cannot be fetched issuer=corp reason=worse",
                "notice the keys of an issuer can be fetched again issuer=corp",
                "warning an issuer publishes no usable key: its tokens are refused issuer=corp",
            ])
    }
}
