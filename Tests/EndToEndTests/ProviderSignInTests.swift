import Broker
import BrokerHTTP
import BrokerTesting
import Foundation
import JOSE
import OpenSSL
import Testing

extension `Programs that nobody here wrote` {
    @Test(.enabled(if: Programs.peerPython != nil, "oidc-provider-mock is not installed: Tests/Peers/install"))
    func `a person signs in at an OpenID provider, whose code is good once, and is asked for again`() async throws {
        let (process, origin) = try await Self.provider()
        defer { process.signal(SIGKILL) }
        let provider = try await Self.client(of: origin)
        let (url, attempt) = try await provider.begin()
        let back = try await Self.approve(at: url)
        let callback = try AuthorizationCallback(query: try #require(back.split(separator: "?").last.map(String.init)))
        let signIn = try await provider.finish(callback, of: attempt)
        #expect(signIn.subject.identity == "corp-sso:alice")
        #expect(signIn.email == "alice@example.com")
        await #expect(throws: AuthorizationFailure.code) { try await provider.finish(callback, of: attempt) }
        // Of another sign-in of the same browser.
        let (_, second) = try await provider.begin()
        await #expect(throws: AuthorizationFailure.state) { try await provider.finish(callback, of: second) }

        _ = try await provider.renew(try #require(signIn.token))
        let unknown = SecretBytes(copying: Array("unknown".utf8).span)
        let failure = await #expect(throws: ProviderFailure.self) { _ = try await provider.renew(unknown) }
        guard case .refused = failure else {
            Issue.record("\(String(describing: failure))")
            return
        }
    }

    private static func client(of origin: String) async throws -> OpenIDProvider {
        let configuration = IssuerConfiguration(
            name: try #require(IssuerName(parsing: "corp-sso")), issuer: ExactString(origin), audience: "daypass",
            allowsPrivateAddresses: true)
        let (fetcher, clock) = (GuardedFetcher(resolver: SystemResolver()), SystemClock())
        let trusted = try TrustedIssuer(configuration, fetcher: fetcher, clock: clock)
        await trusted.keys.refresh()
        let authenticator = JWTAuthenticator([trusted])
        return try OpenIDProvider(
            issuer: configuration,
            client: .init(
                id: "daypass", secret: SecretText("secret"), scopes: ["openid", "email"],
                redirectURI: "http://127.0.0.1:1/oauth/callback"),
            authenticator: { authenticator }, fetcher: fetcher, clock: clock)
    }

    /// - Returns: where the provider sends the browser back to.
    private static func approve(at url: String) async throws -> String {
        let curl = try #require(Programs.curl)
        return try await RunningProcess(
            curl, ["-sS", "-o", "/dev/null", "-w", "%{redirect_url}", "-d", "sub=alice", url]
        ).outcome().output
    }
}
