import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

@Suite struct `The schedule of signing keys` {
    private let day: Duration = .seconds(86_400)

    @Test func `rotates when the active key is as old as configured, and not before`() async throws {
        let bench = try await RotationBench()
        let (first, second) = (bench.active, try await bench.id(.staged))
        await bench.settle()
        bench.clock.advance(by: day * 7 - .seconds(3601))
        await bench.rotation.tick()
        #expect(bench.active == first)
        #expect(bench.metrics.nextRotation == bench.clock.now.addingTimeInterval(1))
        bench.clock.advance(by: .seconds(1))
        await bench.rotation.tick()
        #expect(bench.active == second)
        #expect(bench.metrics.nextRotation == bench.clock.now.addingTimeInterval(7 * 86_400))
        #expect(bench.metrics.activated == bench.clock.now)
        let event = try #require(bench.store.base.events.first)
        #expect(event.details["caller"] == ["by": "schedule"] && event.details["forced"] == .bool(false))
        try await bench.expectConsistent()
    }

    @Test func `every key was in the key set for the lead before it signed, through a month`() async throws {
        var configuration = SigningConfiguration()
        configuration.rotateEvery = .seconds(6 * 3600)
        configuration.publishLead = .seconds(5 * 3600)
        let bench = try await RotationBench(configuration)
        var since: [ExactString: Date] = [:]
        var signers: [ExactString] = []
        for _ in 0..<(30 * 24 * 4) {
            await bench.rotation.tick()
            for key in try bench.published where since[key] == nil { since[key] = bench.clock.now }
            if signers.last != bench.active {
                signers.append(bench.active)
                if signers.count > 1 {
                    let published = try #require(since[bench.active])
                    #expect(bench.clock.now.timeIntervalSince(published) >= 5 * 3600)
                }
            }
            bench.clock.advance(by: .seconds(900))
        }
        #expect(signers.count == 120)
        #expect(Set(signers).count == 120)
        // Nothing piles up: those that stopped within 25 hours, the active one and the staged one.
        #expect(try bench.published.count <= 7)
        try await bench.expectConsistent()
    }

    @Test func `rotations that a long stop missed are made up for once, when gateways know the staged key`()
        async throws
    {
        let bench = try await RotationBench()
        await bench.settle()
        let stopped = try await bench.stored
        bench.clock.advance(by: day * 100)
        let restarted = try KeyRotation(
            bench.store, holding: stopped, sealedWith: bench.masterKey, SigningConfiguration(),
            publishingIn: bench.holder, lastRecord: bench.clock.now, clock: bench.clock, logger: bench.log.logger)
        await restarted.tick()
        #expect(try await bench.stored == stopped)
        bench.clock.advance(by: .seconds(3599))
        await restarted.tick()
        #expect(try await bench.stored == stopped)
        bench.clock.advance(by: .seconds(1))
        for _ in 0..<5 { await restarted.tick() }
        #expect(bench.kinds() == [.keyRotated])
        try await bench.expectConsistent()
    }

    @Test(arguments: [-34_560_000.0, -3600, 3600, 34_560_000])
    func `neither retires nor rotates by a wall clock that jumped, until it has kept its new time for a day`(
        jump: Double
    ) async throws {
        let bench = try await RotationBench()
        _ = try await bench.rotation.rotate(force: true, by: RotationBench.caller)
        await bench.settle()
        let before = try await bench.stored
        bench.clock.now += jump
        for _ in 0..<23 {
            await bench.rotation.tick()
            bench.clock.advance(by: .seconds(3600))
        }
        #expect(try await bench.stored == before)
        bench.clock.now -= jump
        await bench.rotation.tick()
        #expect(try await bench.stored == before)
        bench.clock.advance(by: .seconds(2 * 3600))
        await bench.rotation.tick()
        #expect(try await bench.stored.first?.state == .retired)
        #expect(bench.kinds() == [.keyRotated, .keyRetired])
    }

    @Test func `a key that a clock of the future activated is not kept until then`() async throws {
        let bench = try await RotationBench()
        bench.clock.now += 400 * 86_400
        let second = try await bench.rotation.rotate(force: true, by: RotationBench.caller).active
        bench.clock.now -= 400 * 86_400
        await bench.settle()
        #expect(bench.active != second)
        try await bench.expectConsistent()
    }

    @Test func `a store without a staged key gets one`() async throws {
        let bench = try await RotationBench(states: [.active])
        await bench.rotation.tick()
        #expect(try await bench.stored.map(\.state) == [.active, .staged])
        #expect(bench.kinds() == [.keyStaged])
        try await bench.expectConsistent()
    }

    @Test func `a failure is logged once, counted, and shown until it is over`() async throws {
        let bench = try await RotationBench(states: [.active])
        let since = bench.clock.now
        bench.store.fail(1...1000)
        for _ in 0..<3 {
            await bench.rotation.tick()
            bench.clock.advance(by: .seconds(60))
        }
        #expect(bench.metrics.failure?.since == since)
        #expect(bench.log.messages.count { $0.hasPrefix("the signing keys cannot be changed") } == 1)
        var text = MetricText()
        bench.metrics.write(to: &text)
        let shown = String(decoding: text.bytes, as: UTF8.self)
        #expect(shown.contains("daypass_signing_key_changes_working 0\n"))
        #expect(shown.contains("daypass_signing_key_change_failures_total 3\n"))
        #expect(shown.contains("daypass_signing_keys{state=\"active\"} 1\n"))
        #expect(shown.contains("daypass_signing_keys{state=\"staged\"} 0\n"))
        let report = await Readiness(issuers: [], signingKeys: bench.metrics, storeOutage: { nil }).report()
        #expect(report.json["signing_keys"]?.object?["last_error"]?.string?.string.contains("no disk") == true)
        bench.store.fail(nil)
        await bench.rotation.tick()
        #expect(bench.metrics.failure == nil)
        let after = await Readiness(issuers: [], signingKeys: bench.metrics, storeOutage: { nil }).report()
        #expect(after.json["signing_keys"]?.object?["last_error"] == nil)
        #expect(after.json["signing_keys"]?.object?["active_since"] != nil)
    }
}
