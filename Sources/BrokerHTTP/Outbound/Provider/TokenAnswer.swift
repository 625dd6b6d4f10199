import Broker
import JOSE
import OpenSSL

/// What a token endpoint gave (RFC 6749 §5.1, OpenID Connect Core §3.1.3.3). Its access token is for the provider's own
/// interfaces, which nobody here asks anything: it is not even read.
struct TokenAnswer: Sendable {
    let idToken: SecretText?
    let refreshToken: SecretBytes?

    /// - Throws: `.refused` where the provider does not take what it was shown (`invalid_grant`), `.wordless` where it says
    ///   nothing but 400, as glewlwyd does then, else `.unavailable`: a client secret that is wrong is no reason to sign
    ///   anybody out.
    init(_ document: FetchedDocument) throws(ProviderFailure) {
        guard document.status != 400 || !document.body.isEmpty else { throw .wordless }
        let members: JSONObject
        do {
            members = try JSONReader.readObject(document.body)
        } catch {
            throw .unavailable("token endpoint: its answer of status \(document.status) is \(error)")
        }
        guard document.status == 200 else {
            guard let error = members["error"]?.string else {
                throw .unavailable("token endpoint: it answers \(document.status) without an error")
            }
            guard error == "invalid_grant" else {
                throw .unavailable("token endpoint: it answers \(DiscoveryKeySetFetcher.quoted(error))")
            }
            throw .refused("the provider answers invalid_grant")
        }
        idToken = members["id_token"]?.string.map { SecretText($0.string) }
        if let text = members["refresh_token"]?.string, !text.isEmpty {
            var bytes = Array(text.utf8)
            refreshToken = SecretBytes(moving: &bytes)
        } else {
            refreshToken = nil
        }
    }
}
