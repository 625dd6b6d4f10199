import BrokerTesting
import Foundation
import JOSE
import Testing

@testable import Broker

@Suite struct `Sessions for administrators` {
    private func reader(_ bench: SignInBench) -> StoredSessions {
        let (rules, state) = (bench.rules, bench.base.state)
        return StoredSessions(
            bench.base.store, rules: { rules }, state: { state.current }, clock: bench.base.clock)
    }

    private func list(
        _ bench: SignInBench, _ filter: AdministrationAPI.SessionFilter = .init()
    ) async throws -> [JSONObject] {
        let page = try #require(AdministrationAPI.PageRequest(cursor: nil, limit: 10))
        return try await reader(bench).sessions(filter, page).elements.map(\.json)
    }

    /// Of a device that says who it is.
    private func signedIn(_ bench: SignInBench, _ device: DeviceDescription) async throws -> SignInResponse {
        guard
            case .begun(let begun) = try bench.signIn.devices.begin(
                from: .init(bytes: [192, 0, 2, 7])!, asking: device),
            bench.signIn.devices.approve(begun.userCode, with: try await bench.approval())
        else { throw SignInBench.NotGranted() }
        return try await bench.redeem(begun.deviceCode).get()
    }

    @Test func `one that somebody signed in to names the person, the device and the last renewal`() async throws {
        let bench = try SignInBench()
        let device = DeviceDescription(surface: "claude_code", name: "ada's\u{1B}[2J laptop\u{202E}")
        let response = try await signedIn(bench, device)
        bench.base.clock.advance(by: .seconds(60))
        #expect(await bench.refresh(response.refreshToken).refusal == nil)
        let session = try #require(try await list(bench).first)
        #expect(
            session["sign_in"]?.object == [
                "email": "alice@example.com", "device": "ada's[2J laptop", "program": "claude_code",
                "renewed": AdministrationAPI.json(bench.base.clock.now), "renewals": 1,
            ])
        #expect(session["revoked"] == false)
        var dumped = ""
        dump(try await reader(bench).session(response.token.sessionID), to: &dumped)
        #expect(!dumped.contains(try #require(response.refreshToken).reveal()))
    }

    @Test func `a program without a surface is called as it calls itself, cut to 80 bytes`() async throws {
        let bench = try SignInBench()
        let agent = "claude-code/2.1 " + String(repeating: "x", count: 100)
        _ = try await signedIn(bench, DeviceDescription(userAgent: ExactString(agent)))
        let program = try await list(bench).first?["sign_in"]?.object?["program"]?.string
        #expect(program == ExactString(String(agent.prefix(80))))
    }

    @Test func `those of people are found by themselves, and by e-mail address as it is spelt`() async throws {
        let bench = try SignInBench()
        _ = try await bench.base.opened()
        let response = try await bench.signedIn()
        #expect(try await list(bench).count == 2)
        var filter = AdministrationAPI.SessionFilter()
        filter.signIn = .any
        #expect(try await list(bench, filter).map { $0["sid"] } == [.string(response.token.sessionID)])
        for (email, count) in [("alice@example.com", 1), ("ALICE@example.com", 0), ("bob@example.com", 0)] {
            filter.signIn = .email(ExactString(email))
            #expect(try await list(bench, filter).count == count, "\(email)")
        }
    }

    @Test func `what one may do is what its rule grants now, and nothing where that is gone`() async throws {
        let bench = try SignInBench()
        let id = try await bench.signedIn().token.sessionID
        let granted = try #require(try await reader(bench).session(id)).fullJSON["granted"]?.object
        #expect(granted?["scope"] == ["a:read", "a:write"] && granted?["ttl_seconds"] == 900)
        let after = try SignInBench(rules: [ExchangeBench.main(match: [("sub", ["bob"])])], after: bench)
        #expect(try #require(try await reader(after).session(id)).fullJSON["granted"] == .null)
    }

    @Test func `its tokens are those that have not expired, the latest first`() async throws {
        let bench = try SignInBench()
        let first = try await bench.signedIn()
        bench.base.clock.advance(by: .seconds(600))
        let second = try await bench.refresh(first.refreshToken).get()
        func tokens() async throws -> [ExactString] {
            let session = try #require(try await reader(bench).session(first.token.sessionID))
            return session.fullJSON["tokens"]?.array?.compactMap { $0.object?["jti"]?.string } ?? []
        }
        func id(_ response: SignInResponse) throws -> ExactString {
            try bench.base.verifier.claims(
                of: response.token.accessToken, presentedBy: nil, at: bench.base.clock.now
            ).tokenID
        }
        #expect(try await tokens() == [id(second), id(first)])
        bench.base.clock.advance(by: .seconds(300))
        #expect(try await tokens() == [id(second)])
    }

    @Test func `one that was revoked is listed as such until its end, and shown after it`() async throws {
        let bench = try SignInBench()
        let id = try await bench.signedIn().token.sessionID
        _ = try await bench.base.revocations.revoke(RevocationRequest(.session(id)), by: .daemon)
        #expect(try await list(bench).map { $0["revoked"] } == [true])
        bench.base.clock.advance(by: .seconds(3600))
        #expect(try await list(bench).isEmpty)
        #expect(try await reader(bench).session(id)?.isRevoked == true)
    }
}
