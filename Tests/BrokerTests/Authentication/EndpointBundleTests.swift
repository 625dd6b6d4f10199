import Broker
import BrokerTesting
import Foundation
import JOSE
import OpenSSL
import SPIFFE
import Testing

@Suite struct `A bundle from an endpoint` {
    private let domain: TestTrustDomain
    private let next: TestIssuer
    private let clock = ManualClock()
    private let fetcher = StubBundleFetcher()
    private let store = MemoryStore()
    private let masterKey: MasterKey

    init() throws {
        domain = try TestTrustDomain()
        next = try TestIssuer("spiffe://prod.example.com", algorithm: .ES256)
        masterKey = try MasterKey.generate().0
    }

    /// A broker's life: what it trusts, and the endpoint as it was restored.
    private struct Life {
        let bundles: TrustBundles
        var endpoint: EndpointBundle
        let damage: String?

        var status: TrustBundles.Status { bundles.statuses[0] }
    }

    private func start(
        url: String = "https://a.example/", initial: TrustBundle? = nil, masterKey: MasterKey? = nil
    ) async throws -> Life {
        let endpoint = BundleEndpoint(url: url, profile: .web, initial: initial)
        let bundles = TrustBundles(
            [TrustDomainConfiguration(name: domain.name, bundle: .endpoint(endpoint), audience: "us")], clock: clock)
        var bundle = EndpointBundle(
            domain.name, endpoint, fetcher: fetcher, bundles: bundles, store: store,
            masterKey: masterKey ?? self.masterKey, clock: clock)
        let damage = try await bundle.restore()
        return Life(bundles: bundles, endpoint: bundle, damage: damage)
    }

    private func document(_ sequence: Double?, _ signers: [TestIssuer], hint: Double? = nil) -> [UInt8] {
        TestTrustDomain.json(authorities: [domain.ca], signers: signers, sequence: sequence, refreshHint: hint)
    }

    private func bundle(_ sequence: Double?, _ signers: [TestIssuer]) throws -> TrustBundle {
        try TrustBundle(contents: document(sequence, signers), of: domain.name)
    }

    @Test func `is none before the endpoint has answered, and the domain unusable`() async throws {
        var life = try await start()
        #expect(!life.status.isUsable && life.status.source == nil && life.status.age == nil)
        #expect(life.bundles.current[domain.name] == nil)
        _ = await life.endpoint.poll()
        #expect(!life.status.isUsable && life.status.lastError == "down")
        fetcher.serve(document(1, [domain.signer]))
        _ = await life.endpoint.poll()
        #expect(life.status.isUsable && life.status.lastError == nil && life.status.source == .endpoint)
        #expect(life.status.sequence == 1 && life.status.age == .zero)
        clock.advance(by: .seconds(7))
        #expect(life.status.age == .seconds(7))
    }

    @Test func `stays while the endpoint fails, serves no bundle, or one in PEM`() async throws {
        var life = try await start()
        fetcher.serve(document(1, [domain.signer]))
        _ = await life.endpoint.poll()
        let certificate = Data(domain.ca.certificate).base64EncodedString()
        let pem = "-----BEGIN CERTIFICATE-----\n\(certificate)\n-----END CERTIFICATE-----\n"
        for bad in [Array("<html>".utf8), [], Array(pem.utf8), Array(#"{"keys": 1}"#.utf8)] {
            fetcher.serve(bad)
            guard case .failed = await life.endpoint.poll() else {
                Issue.record("\(bad) was taken")
                continue
            }
            #expect(life.status.isUsable && life.status.lastError != nil && life.status.keyCount == 1)
        }
        #expect(life.status.failureCount == 4 && life.status.changeCount == 1)
    }

    @Test(
        arguments: [
            (nil, 300, 270), (1, 1, 1), (60, 60, 54), (1e9, 86_400, 77_760), (0, 300, 270),
        ] as [(Double?, Int, Int)])
    func `is asked for as often as it says, within bounds, and after a failure no sooner`(
        hint: Double?, longest: Int, shortest: Int
    ) async throws {
        var life = try await start()
        #expect(life.endpoint.untilNextPoll(jitter: 1) == .seconds(300))
        fetcher.serve(document(1, [domain.signer], hint: hint))
        _ = await life.endpoint.poll()
        #expect(life.endpoint.untilNextPoll(jitter: 1) == .seconds(longest))
        #expect(life.endpoint.untilNextPoll(jitter: -1) == .seconds(shortest))
        fetcher.fail()
        _ = await life.endpoint.poll()
        #expect(life.endpoint.untilNextPoll(jitter: 1) == .seconds(longest))
    }

    @Test func `is refused with a lower sequence, or with none after one with`() async throws {
        var life = try await start()
        fetcher.serve(document(10, [domain.signer]))
        _ = await life.endpoint.poll()
        let refusals: [(Double?, String)] = [
            (9, "the bundle has the sequence 9, after one with 10"),
            (0, "the bundle has the sequence 0, after one with 10"),
            (nil, "the bundle has no sequence, after one with 10"),
        ]
        for (sequence, reason) in refusals {
            // Not even where it trusts nobody.
            for signers in [[next], []] {
                let document = TestTrustDomain.json(
                    authorities: signers.isEmpty ? [] : [domain.ca], signers: signers, sequence: sequence)
                fetcher.serve(document)
                _ = await life.endpoint.poll()
                #expect(life.status.lastError == reason && life.status.sequence == 10)
                #expect(life.bundles.current[domain.name]?.jwtKeys[domain.signer.jwk.keyID] != nil)
            }
        }
        fetcher.serve(document(11, [next]))
        _ = await life.endpoint.poll()
        #expect(life.status.lastError == nil && life.status.sequence == 11)
    }

    @Test func `with the same sequence may take away and never add`() async throws {
        var life = try await start()
        fetcher.serve(document(5, [domain.signer, next]))
        _ = await life.endpoint.poll()
        fetcher.serve(document(5, [next]))
        _ = await life.endpoint.poll()
        #expect(life.status.lastError == nil && life.status.keyCount == 1)
        // What was there before, as a cache might serve it again.
        fetcher.serve(document(5, [domain.signer, next]))
        _ = await life.endpoint.poll()
        #expect(
            life.status.lastError == "the bundle trusts more than the last one, which has the same sequence 5"
                && life.status.keyCount == 1)
        // Another key under the same id.
        let other = try TestIssuer("spiffe://prod.example.com", algorithm: .ES256)
        let swapped = String(decoding: document(5, [other]), as: UTF8.self)
            .replacing(other.jwk.keyID.string, with: next.jwk.keyID.string)
        fetcher.serve(Array(swapped.utf8))
        _ = await life.endpoint.poll()
        #expect(life.status.lastError?.contains("trusts more") == true)
        fetcher.serve(Array(#"{"keys": [], "spiffe_sequence": 5}"#.utf8))
        _ = await life.endpoint.poll()
        #expect(life.status.lastError == nil && !life.status.isUsable)
    }

    @Test func `without sequences counts as it is served, and a first sequence begins the count`() async throws {
        var life = try await start()
        for (sequence, signers) in [(nil, [domain.signer]), (nil, [next]), (1, [domain.signer])]
            as [(Double?, [TestIssuer])]
        {
            fetcher.serve(document(sequence, signers))
            _ = await life.endpoint.poll()
            #expect(life.bundles.current[domain.name]?.jwtKeys.keys.first == signers[0].jwk.keyID)
        }
        fetcher.serve(document(nil, [next]))
        _ = await life.endpoint.poll()
        #expect(life.status.lastError != nil)
    }

    @Test func `that is empty is taken at its word, and a later one ends that`() async throws {
        var life = try await start()
        fetcher.serve(document(1, [domain.signer]))
        _ = await life.endpoint.poll()
        fetcher.serve(Array(#"{"keys": [], "spiffe_sequence": 2, "spiffe_refresh_hint": 30}"#.utf8))
        _ = await life.endpoint.poll()
        #expect(!life.status.isUsable && life.status.lastError == nil)
        #expect(life.endpoint.untilNextPoll(jitter: 1) == .seconds(30))
        let report = await Readiness(issuers: [], trustBundles: life.bundles, storeOutage: { nil }).report()
        #expect(!report.isReady)
        let restarted = try await start()
        #expect(!restarted.status.isUsable && restarted.status.source == .stored)
        fetcher.serve(document(3, [domain.signer]))
        _ = await life.endpoint.poll()
        #expect(life.status.isUsable)
    }

    @Test func `outlives a restart while the endpoint is down, and so does its sequence`() async throws {
        var life = try await start()
        fetcher.serve(document(7, [domain.signer], hint: 20))
        _ = await life.endpoint.poll()
        fetcher.fail()
        var second = try await start()
        #expect(second.damage == nil && second.status.isUsable && second.status.source == .stored)
        #expect(second.status.sequence == 7 && second.status.age == nil && second.status.changeCount == 0)
        #expect(second.endpoint.untilNextPoll(jitter: 1) == .seconds(20))
        _ = await second.endpoint.poll()
        #expect(second.status.isUsable)
        fetcher.serve(document(6, [next]))
        _ = await second.endpoint.poll()
        #expect(second.status.lastError == "the bundle has the sequence 6, after one with 7")
        fetcher.serve(document(7, [next]))
        _ = await second.endpoint.poll()
        #expect(second.status.lastError?.contains("trusts more") == true)
    }

    @Test func `of another master key is not used, and its sequence counts all the same`() async throws {
        var life = try await start()
        fetcher.serve(document(7, [domain.signer]))
        _ = await life.endpoint.poll()
        let otherKey = try MasterKey.generate().0
        for initial in [nil, try bundle(6, [next]), try bundle(nil, [next])] {
            var second = try await start(initial: initial, masterKey: otherKey)
            #expect(second.damage?.hasPrefix("it was sealed with master key \(masterKey.id)") == true)
            #expect(!second.status.isUsable && second.bundles.current[domain.name] == nil)
            fetcher.serve(document(6, [next]))
            _ = await second.endpoint.poll()
            #expect(second.status.lastError == "the bundle has the sequence 6, after one with 7")
        }
        var third = try await start(initial: try bundle(7, [domain.signer]), masterKey: otherKey)
        #expect(third.status.isUsable && third.status.source == .initial)
        fetcher.serve(document(8, [next]))
        _ = await third.endpoint.poll()
        #expect(third.status.lastError == nil)
        let fourth = try await start(masterKey: otherKey)
        #expect(fourth.damage == nil && fourth.status.sequence == 8)
    }

    @Test func `that was altered in the store is not used`() async throws {
        var life = try await start()
        fetcher.serve(document(7, [domain.signer]))
        _ = await life.endpoint.poll()
        let record = try #require(try await store.trustBundle(of: domain.name))
        #expect(record.masterKeyID == masterKey.id && record.updated == clock.now)
        var altered = record.sealed
        altered[altered.count / 2] ^= 1
        // What was sealed for another domain, and for something else.
        let places = [
            ("trust-bundle", "trust_bundles", "other.example.com \(record.endpoint)"),
            ("signing-key", "signing_keys", "prod.example.com \(record.endpoint)"),
        ]
        let moved = try places.map { purpose, table, id in
            var foreign = document(7, [next])
            let place = SealedPlace(purpose: purpose, table: table, id: id, version: 1)
            return try masterKey.seal(SecretBytes(moving: &foreign), for: place)
        }
        // What another endpoint of the same domain served.
        var elsewhere = try await start(url: "https://b.example/")
        fetcher.serve(document(7, [next]))
        _ = await elsewhere.endpoint.poll()
        let other = try #require(try await store.trustBundle(of: domain.name))
        #expect(other.endpoint == "https_web https://b.example/")
        for sealed in moved + [other.sealed, altered, [], document(7, [next])] {
            try await store.keep(
                TrustBundleRecord(
                    trustDomain: domain.name, endpoint: record.endpoint, sequence: 7, sealed: sealed,
                    masterKeyID: record.masterKeyID, updated: record.updated))
            let second = try await start()
            #expect(second.damage == "it does not open: its row was altered or damaged")
            #expect(second.bundles.current[domain.name] == nil)
        }
    }

    @Test func `of another endpoint counts for nothing, neither what it trusted nor its sequence`() async throws {
        var life = try await start()
        fetcher.serve(document(7, [domain.signer]))
        _ = await life.endpoint.poll()
        var second = try await start(url: "https://b.example/")
        #expect(second.damage == nil && !second.status.isUsable)
        fetcher.serve(document(1, [next]))
        _ = await second.endpoint.poll()
        #expect(second.status.isUsable && second.status.sequence == 1)
        // And the way back is a new relationship as well.
        let third = try await start()
        #expect(!third.status.isUsable)
    }

    @Test func `of the configuration serves until the endpoint has answered once`() async throws {
        let initial = try bundle(nil, [domain.signer])
        var life = try await start(initial: initial)
        #expect(life.status.isUsable && life.status.source == .initial && life.status.age == nil)
        fetcher.serve(document(3, [next]))
        _ = await life.endpoint.poll()
        #expect(life.status.source == .endpoint)
        let second = try await start(initial: initial)
        #expect(second.status.source == .stored && second.status.sequence == 3)
        // One that is newer by its own account is the operator's way out.
        let newer = try await start(initial: try bundle(4, [domain.signer]))
        #expect(newer.status.source == .initial && newer.status.sequence == 4)
    }

    @Test func `that cannot be stored counts, says so, and is stored when that works again`() async throws {
        var life = try await start()
        fetcher.serve(document(1, [domain.signer, next]))
        _ = await life.endpoint.poll()
        store.fail(with: StoreFailure(.unavailable, "write", cause: "the disk is full"))
        fetcher.serve(document(2, [next]))
        guard case .notStored(_, hasChanged: true, _) = await life.endpoint.poll() else {
            Issue.record("no word of the store")
            return
        }
        #expect(life.status.keyCount == 1 && life.status.sequence == 2)
        #expect(life.status.lastError?.hasPrefix("the bundle is trusted, but could not be stored") == true)
        let began = clock.now
        clock.advance(by: .seconds(60))
        _ = await life.endpoint.poll()
        #expect(life.status.failingSince == began && life.status.age == .zero)
        fetcher.serve(document(1, [domain.signer, next]))
        _ = await life.endpoint.poll()
        #expect(life.status.lastError == "the bundle has the sequence 1, after one with 2")
        store.fail(with: nil)
        fetcher.serve(document(2, [next]))
        _ = await life.endpoint.poll()
        #expect(life.status.lastError == nil && life.status.failingSince == nil)
        #expect(try await start().status.sequence == 2)
    }

    @Test func `does not start where what is stored cannot be read`() async throws {
        store.fail(with: StoreFailure(.unreadable, "read", cause: "damaged"))
        await #expect(throws: StoreFailure.self) { _ = try await start() }
    }
}
