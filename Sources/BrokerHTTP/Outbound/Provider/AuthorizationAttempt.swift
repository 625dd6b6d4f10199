package import Broker
import JOSE
import OpenSSL

/// What a browser is sent to the provider with, and what its return is checked against: one try at signing in.
package struct AuthorizationAttempt: Sendable {
    /// Comes back in the callback (RFC 6749 §10.12).
    package let state: SecretText
    /// Comes back in the ID token (OpenID Connect Core §3.1.2.1).
    let nonce: SecretText
    /// Proves at the token endpoint that it was us who asked (RFC 7636 §4.1).
    let verifier: SecretText

    /// Three times 256 random bits.
    init(from random: any RandomSource) throws(OpenSSLError) {
        state = try Self.secret(random)
        nonce = try Self.secret(random)
        verifier = try Self.secret(random)
    }

    private static func secret(_ random: any RandomSource) throws(OpenSSLError) -> SecretText {
        SecretText(Base64URL.encode(try random.bytes(32)))
    }

    /// `code_challenge` of the method `S256` (RFC 7636 §4.2).
    var challenge: String { Base64URL.encode(HashAlgorithm.sha256.digest(Array(verifier.reveal().utf8))) }

    /// - Returns: nil unless it was written by `members`.
    init?(_ members: JSONObject) {
        guard let state = members["state"]?.string, let nonce = members["nonce"]?.string,
            let verifier = members["verifier"]?.string
        else { return nil }
        self.state = SecretText(state.string)
        self.nonce = SecretText(nonce.string)
        self.verifier = SecretText(verifier.string)
    }

    /// All of it, to be sealed.
    var members: JSONObject {
        [
            "state": .string(ExactString(state.reveal())), "nonce": .string(ExactString(nonce.reveal())),
            "verifier": .string(ExactString(verifier.reveal())),
        ]
    }
}

/// With what a browser came back from the provider (RFC 6749 §4.1.2, RFC 9207 §2). Nothing of it is checked yet.
package struct AuthorizationCallback: Sendable {
    let state: SecretText?
    let code: SecretText?
    let error: ExactString?
    let issuer: ExactString?

    /// - Parameter query: what follows the question mark.
    /// - Throws: at a query that is no form, or names a parameter twice.
    package init(query: String) throws(FormFailure) {
        let form = try FormBody(parsing: Array(query.utf8))
        state = form["state"].map { SecretText($0.string) }
        code = form["code"].map { SecretText($0.string) }
        error = form["error"]
        issuer = form["iss"]
    }
}

/// Why a browser that came back is not signed in.
package enum AuthorizationFailure: Error, Sendable, Equatable {
    /// It was not this browser that went away with that state, or too long ago.
    case state
    /// Another provider answered than the one that was asked (RFC 9207 §2.4).
    case issuer
    /// The person, or the provider, refused.
    case denied
    /// Another of the provider's errors, quoted.
    case answered(String)
    /// Neither a code nor an error.
    case noCode
    /// The provider does not take the code: it was used before, or is too old.
    case code
    /// The ID token proves nothing here. In words for the operator.
    case idToken(String)
    /// The provider could not be asked, or its answer was none. In words for the operator.
    case unavailable(String)

    /// One word for logs.
    package var word: String {
        switch self {
        case .state: "state"
        case .issuer: "issuer"
        case .denied: "denied"
        case .answered: "answered"
        case .noCode: "no_code"
        case .code: "code"
        case .idToken: "id_token"
        case .unavailable: "unavailable"
        }
    }

    /// As it is counted.
    package var reason: RefusalReason {
        switch self {
        case .state, .noCode: .malformed
        case .issuer: .issuer
        case .code: .replayed
        case .denied, .answered, .idToken, .unavailable: .provider
        }
    }

    /// Whether somebody has to look at the provider, or at who we are there.
    package var isFault: Bool {
        switch self {
        case .issuer, .answered, .idToken, .unavailable: true
        case .state, .denied, .noCode, .code: false
        }
    }

    /// For the operator; empty where the word says it all.
    package var details: String {
        switch self {
        case .answered(let words), .idToken(let words), .unavailable(let words): words
        case .state, .issuer, .denied, .noCode, .code: ""
        }
    }
}
