import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

/// After a backup was restored, nobody knows what was presented since it was made.
@Suite struct `A broker over a restored store` {
    private func bench(_ replay: ReplayPolicy) throws -> ExchangeBench {
        try ExchangeBench(replay: replay, restored: Fixture.now)
    }

    private func reason(_ bench: ExchangeBench, issuedAt seconds: Int) async throws -> String? {
        let issued = Fixture.now.timeIntervalSince1970 + Double(seconds)
        bench.clock.advance(by: .seconds(max(0, seconds)))
        let token = try bench.token(["iat": .number(issued), "exp": .number(issued + 300)])
        let request = try bench.request(token)
        guard let refusal = await bench.refusal(request) else { return nil }
        #expect(refusal.name == "subjectToken")
        return try await bench.store.auditEvents(trace: request.trace).first?.reason
    }

    /// 30 seconds: the issuer's clock may be ahead by as much, so that the token may have been used before its `iat`.
    @Test(arguments: [ReplayPolicy.once, .window(maximumUses: 32)], [(-10, true), (0, true), (30, true), (31, false)])
    func `refuses on the record what may have been used before and may be used only so often`(
        replay: ReplayPolicy, token: (issuedAt: Int, isRefused: Bool)
    ) async throws {
        let reason = try await reason(bench(replay), issuedAt: token.issuedAt)
        #expect(reason == (token.isRefused ? "issued_before_restore" : nil))
    }

    @Test func `takes what may be used without end, and renews what it granted itself`() async throws {
        let bench = try bench(.off)
        #expect(try await reason(bench, issuedAt: -10) == nil)
        let granted = try await bench.exchange.exchange(bench.request(bench.token()))
        #expect(try await bench.refusal(renewing: granted) == nil)
    }
}
