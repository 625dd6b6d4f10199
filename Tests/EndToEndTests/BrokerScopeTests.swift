import BrokerTesting
import Foundation
import JOSE
import Testing

@Suite(.onOwnThreads) struct `A running broker's own scopes` {
    @Test func `are granted on demand, and their token opens nothing at a gateway and is not renewed`() async throws {
        let workspace = try Workspace()
        let issuer = try TestIssuer("https://issuer.example.com", algorithm: .ES256)
        let rules = """
              - name: admins
                issuer: github
                match: {repository_id: "123456"}
                grant: {scope: [daypass:admin], ttl: 10m}

            """
        let broker = try await RunningBroker(
            workspace, issuersAndRules: RunningBroker.fileIssuer(issuer, in: workspace) + rules)
        let matching: JSONObject = ["repository_id": "123456", "ref": "refs/heads/main"]
        let proof = try issuer.token(issuer.claims(subject: "job", at: Date()).merging(matching))

        let ordinary = try await broker.exchange(proof)
        #expect(ordinary.text("scope") == "anthropic:messages anthropic:count_tokens")
        let mixed = try await broker.exchange(proof, ["scope": "anthropic:messages daypass:admin"])
        #expect(mixed.status == 400 && mixed.text("error") == "invalid_scope", "\(mixed.body)")
        let other = try await broker.exchange(
            proof, ["scope": "daypass:admin", "audience": RunningBroker.gatewayAudience])
        #expect(other.status == 400 && other.text("error") == "invalid_target", "\(other.body)")

        let admin = try await broker.exchange(proof, ["scope": "daypass:admin"])
        #expect(admin.status == 200, "\(admin.body)")
        #expect(admin.text("scope") == "daypass:admin")
        #expect(admin.json["expires_in"] == 600)
        let token = try #require(admin.text("access_token"))
        for scope in ["daypass:admin", "anthropic:messages"] {
            #expect(try await broker.verify(token, scope: scope).status == 401)
        }
        #expect(try await broker.verify(ordinary.text("access_token") ?? "", scope: "daypass:admin").status == 403)
        let access = ["subject_token_type": "urn:ietf:params:oauth:token-type:access_token"]
        let renewed = try await broker.exchange(token, access)
        #expect(renewed.status == 400 && renewed.text("error") == "invalid_request", "\(renewed.body)")
        broker.process.signal(SIGTERM)
        #expect(try await broker.process.outcome().status == 0)
    }
}
