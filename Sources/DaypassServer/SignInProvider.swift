import Broker
import BrokerHTTP
import JOSE

/// The company's identity provider, as `sign_in` names it.
enum SignInProvider {
    private static let maximumSecretLength = 1024

    /// - Parameters:
    ///   - issuers: those of the moment.
    ///   - fetcher: the way out.
    /// - Returns: nil where nobody signs in at this broker.
    static func make(
        _ configuration: BrokerConfiguration, issuers: @escaping @Sendable () -> [TrustedIssuer],
        fetcher: GuardedFetcher, clock: any BrokerClock
    ) throws -> OpenIDProvider? {
        guard let signIn = configuration.signIn else { return nil }
        guard let issuer = configuration.issuers.first(where: { $0.name == signIn.issuer }) else {
            throw CommandFailure("sign_in: no issuer is called \(signIn.issuer)")
        }
        let client = OpenIDProvider.Client(
            id: signIn.clientID, secret: try signIn.clientSecretFile.map(secret), scopes: signIn.scopes,
            parameters: signIn.parameters, redirectURI: configuration.server.publicURL + "/oauth/callback")
        do {
            return try OpenIDProvider(
                issuer: issuer, client: client, authenticator: { JWTAuthenticator(issuers()) }, fetcher: fetcher,
                clock: clock)
        } catch {
            throw CommandFailure("sign_in: \(error)")
        }
    }

    /// The file's first line, which has to be all that it holds.
    static func secret(_ path: String) throws -> SecretText {
        var bytes = try MasterKeyFile.contents(of: path, upTo: maximumSecretLength + 2)[...]
        if bytes.last == UInt8(ascii: "\n") { bytes.removeLast() }
        if bytes.last == UInt8(ascii: "\r") { bytes.removeLast() }
        guard (1...maximumSecretLength).contains(bytes.count), bytes.allSatisfy({ (0x20...0x7E).contains($0) }) else {
            throw CommandFailure("\(path): not a client secret: one line of 1 to \(maximumSecretLength) characters")
        }
        return SecretText(String(decoding: bytes, as: UTF8.self))
    }
}
