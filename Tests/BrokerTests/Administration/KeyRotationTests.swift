import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

@Suite struct `Rotating signing keys` {
    private let caller = RotationBench.caller

    @Test func `the staged key signs, the active one retires, another is staged, and the key set shows all three`()
        async throws
    {
        let bench = try await RotationBench()
        let (first, second) = (try await bench.id(.active), try await bench.id(.staged))
        bench.clock.advance(by: .seconds(3600))
        let rotated = try await bench.rotation.rotate(by: caller)
        let third = try await bench.id(.staged)
        #expect(rotated == KeyRotated(before: first, active: second, staged: third))
        #expect(try await bench.id(.retiring) == first)
        #expect(try bench.published == [first, second, third])
        #expect(Set([first, second, third]).count == 3)
        try await bench.expectConsistent()
        let descriptions = await bench.rotation.descriptions
        #expect(descriptions.map(\.state) == [.retiring, .active, .staged])
        #expect(descriptions[0].stopped == bench.clock.now)
        #expect(descriptions[0].retires == bench.clock.now.addingTimeInterval(25 * 3600))
        #expect(descriptions[1].activated == bench.clock.now)
        #expect(descriptions[2].publishLeadLeft == .seconds(3600))
    }

    @Test func `a rotation is recorded with its caller, and each key with its states before and after`() async throws {
        let bench = try await RotationBench()
        let (first, second) = (try await bench.id(.active), try await bench.id(.staged))
        let trace = TraceID()
        _ = try await bench.rotation.rotate(force: true, by: caller, under: trace)
        let third = try await bench.id(.staged)
        let event = try #require(bench.store.base.events.first)
        #expect(bench.store.base.events.count == 1)
        #expect(event.kind == .keyRotated && event.trace == trace && event.time == bench.clock.now)
        let expected: JSONObject = [
            "caller": ["by": "socket", "uid": 1000, "pid": 7],
            "keys": [
                ["key": .string(first), "before": "active", "after": "retiring"],
                ["key": .string(second), "before": "staged", "after": "active"],
                ["key": .string(third), "before": .null, "after": "staged", "algorithm": "ES256"],
            ],
            "forced": true,
        ]
        #expect(event.details == expected)
    }

    @Test(arguments: [0, 1, 3599])
    func `a staged key that gateways may not know yet is not activated, and how long that takes is said`(
        seconds: Int
    ) async throws {
        let bench = try await RotationBench()
        let (before, staged) = (try await bench.stored, try await bench.id(.staged))
        bench.clock.advance(by: .seconds(seconds))
        let rotation = await refusal { () async throws(KeyRotationFailure) in
            _ = try await bench.rotation.rotate(by: caller)
        }
        #expect(rotation?.contains("has to be published for \(3600 - seconds) more seconds") == true)
        let activation = await refusal { () async throws(KeyRotationFailure) in
            _ = try await bench.rotation.activate(staged, by: caller)
        }
        #expect(activation == rotation)
        #expect(try await bench.stored == before)
        #expect(bench.kinds().isEmpty)
        // Neither does a wall clock that somebody sets.
        bench.clock.now += 86_400
        #expect(
            await refusal { () async throws(KeyRotationFailure) in _ = try await bench.rotation.rotate(by: caller) }
                == rotation)
        #expect(try await bench.rotation.rotate(force: true, by: caller).active == staged)
    }

    @Test func `a token from before a rotation verifies until it expires, and what retired since does not`()
        async throws
    {
        let bench = try await RotationBench()
        let first = bench.active
        let token = try await bench.token()
        let expiry = bench.clock.now.addingTimeInterval(86_400)
        _ = try await bench.rotation.rotate(force: true, by: caller)
        await bench.settle()
        bench.clock.advance(by: .seconds(86_400 - 3600 - 1))
        await bench.rotation.tick()
        #expect(try bench.accepts(token))
        #expect(try bench.accepts(token, at: expiry.addingTimeInterval(-0.001)))
        #expect(try !bench.accepts(token, at: expiry))
        // The margin for what was under way.
        bench.clock.advance(by: .seconds(3600))
        await bench.rotation.tick()
        #expect(try bench.published.contains(first))
        bench.clock.advance(by: .seconds(1))
        await bench.rotation.tick()
        #expect(try !bench.published.contains(first))
        #expect(try !bench.accepts(token, at: expiry.addingTimeInterval(-3600)))
        let retired = try #require(await bench.stored.first)
        #expect(retired.state == .retired && retired.sealed.isEmpty && retired.ended == bench.clock.now)
        #expect(bench.kinds() == [.keyRotated, .keyRetired])
        try await bench.expectConsistent()
    }

    @Test func `a key that is retiring may sign again, and its time to retire begins anew`() async throws {
        let bench = try await RotationBench()
        let (first, staged) = (bench.active, try await bench.id(.staged))
        _ = try await bench.rotation.rotate(force: true, by: caller)
        let third = try await bench.id(.staged)
        bench.clock.advance(by: .seconds(10))
        let back = try await bench.rotation.activate(first, by: caller)
        #expect(back == KeyRotated(before: staged, active: first, staged: third))
        #expect(bench.kinds() == [.keyRotated, .keyActivated])
        let records = try await bench.stored
        #expect(records.map(\.state) == [.active, .retiring, .staged])
        #expect(records[0].stopped == nil && records[0].activated == bench.clock.now)
        #expect(records[1].stopped == bench.clock.now)
        #expect(try await bench.rotation.activate(first, by: caller).active == first)
        #expect(bench.kinds().count == 2)
        try await bench.expectConsistent()
    }

    @Test func `a key that is unknown, retired or compromised is not activated`() async throws {
        let bench = try await RotationBench()
        let staged = try await bench.id(.staged)
        _ = try await bench.rotation.revoke(staged, by: caller)
        let refused = await refusal { () async throws(KeyRotationFailure) in
            _ = try await bench.rotation.activate(staged, force: true, by: caller)
        }
        #expect(refused == "signing key \(staged) is compromised, and stays it")
        let unknown = await refusal { () async throws(KeyRotationFailure) in
            _ = try await bench.rotation.activate("nobody", force: true, by: caller)
        }
        #expect(unknown == "there is no signing key nobody")
        #expect(
            await refusal { () async throws(KeyRotationFailure) in
                _ = try await bench.rotation.revoke("nobody", by: caller)
            } == unknown)
    }

    @Test func `another algorithm takes effect with the next key that is staged`() async throws {
        var configuration = SigningConfiguration()
        configuration.algorithm = .EdDSA
        let bench = try await RotationBench(configuration)
        await bench.rotation.tick()
        #expect(try await bench.stored.map(\.algorithm) == [.ES256, .ES256])
        #expect(bench.holder.current.keyRing.algorithms == [.ES256])
        _ = try await bench.rotation.rotate(force: true, by: caller)
        #expect(try await bench.stored.map(\.algorithm) == [.ES256, .ES256, .EdDSA])
        #expect(bench.holder.current.keyRing.algorithms == [.ES256, .EdDSA])
        let token = try await bench.token()
        _ = try await bench.rotation.rotate(force: true, by: caller)
        #expect(try bench.accepts(token))
        #expect(try bench.accepts(await bench.token()))
        #expect(try await bench.stored.last?.algorithm == .EdDSA)
    }

    @Test func `so many keys are published and no more, and one can be revoked all the same`() async throws {
        let bench = try await RotationBench()
        for _ in 0..<(KeyRotation.maximumPublished - 2) { _ = try await bench.rotation.rotate(force: true, by: caller) }
        #expect(try bench.published.count == KeyRotation.maximumPublished)
        let refused = await refusal { () async throws(KeyRotationFailure) in
            _ = try await bench.rotation.rotate(force: true, by: caller)
        }
        #expect(refused?.hasPrefix("64 signing keys are published: wait") == true)
        _ = try await bench.rotation.revoke(bench.active, by: caller)
        #expect(try bench.published.count == KeyRotation.maximumPublished)
        _ = try await bench.rotation.revoke(bench.id(.retiring), by: caller)
        _ = try await bench.rotation.rotate(force: true, by: caller)
        try await bench.expectConsistent()
    }

    @Test func `changes that are asked for at once are made one after the other`() async throws {
        let bench = try await RotationBench()
        await withTaskGroup(of: Void.self) { group in
            for number in 0..<12 {
                group.addTask {
                    if number % 4 == 0 {
                        _ = try? await bench.rotation.revoke(bench.active, by: self.caller)
                    } else {
                        _ = try? await bench.rotation.rotate(force: true, by: self.caller)
                    }
                }
                group.addTask { await bench.rotation.tick() }
            }
        }
        await bench.rotation.tick()
        try await bench.expectConsistent()
        #expect(bench.kinds().count { $0 == .keyRotated } == 9)
    }

    @Test func `every token that is minted while keys rotate is good`() async throws {
        let bench = try await RotationBench()
        let subject = try await Fixture.subject()
        let rules = try Fixture.rules(Fixture.rule("ci-main", texts: [("sub", ["alice"])]))
        let grant = try #require(rules.match(subject, naming: nil).grant)
        let mint = TokenMint(issuer: Fixture.broker, state: { bench.holder.current }, random: SystemRandom())
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    for _ in 0..<300 {
                        let token = try mint.mint(subject, grant, keeping: [:], at: bench.clock.now).0.text
                        #expect(try bench.accepts(token))
                        await Task.yield()
                    }
                }
            }
            group.addTask {
                for _ in 0..<50 { _ = try await bench.rotation.rotate(force: true, by: caller) }
            }
            try await group.waitForAll()
        }
        try await bench.expectConsistent()
    }

    @Test func `a ring that does not open is refused at once`() async throws {
        let bench = try await RotationBench()
        let records = try await bench.stored
        let other = try MasterKey.generate().0
        #expect(throws: KeyRingFailure.self) {
            try KeyRotation(
                bench.store, holding: records, sealedWith: other, SigningConfiguration(), publishingIn: bench.holder,
                clock: bench.clock, logger: bench.log.logger)
        }
        #expect(throws: KeyRingFailure.self) {
            try KeyRotation(
                bench.store, holding: Array(records.dropFirst()), sealedWith: bench.masterKey, SigningConfiguration(),
                publishingIn: bench.holder, clock: bench.clock, logger: bench.log.logger)
        }
    }
}
