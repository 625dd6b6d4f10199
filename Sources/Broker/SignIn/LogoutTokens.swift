import FoundationEssentials
package import JOSE
import OpenSSL
import Synchronization

/// Checks what the company's identity provider sends when somebody's session there ends (OpenID Connect Back-Channel
/// Logout 1.0 §2.6). Callable from any thread; suspends only where the token names a key that is not known yet.
///
/// Strict on purpose: whoever could make such a token could sign people out, and a token that is for something else must
/// not become one.
package final class LogoutTokens: Sendable {
    static let event: ExactString = "http://schemas.openid.net/event/backchannel-logout"
    /// How old one may be.
    static let maximumAge: TimeInterval = 120
    static let maximumRemembered = 16_384

    private let issuer: @Sendable () -> TrustedIssuer?
    /// The digests of those that were taken, and when each may be forgotten, in seconds since 1970.
    private let taken = Mutex<[[UInt8]: Double]>([:])

    /// - Parameter issuer: the one where people sign in, as it is configured at the moment.
    package init(issuer: @escaping @Sendable () -> TrustedIssuer?) {
        self.issuer = issuer
    }

    /// Whose sessions end by the token. Each is taken once; where ending them fails, `putBack` lets it be taken again.
    func take(_ token: SecretText, at now: Date) async throws(LogoutFailure) -> TakenLogout {
        guard let issuer = issuer() else { throw .issuer }
        let jws: CompactJWS
        do {
            jws = try CompactJWS(parsing: Array(token.reveal().utf8))
        } catch {
            throw .form
        }
        guard let claims = try? JSONReader.readObject(jws.payload) else { throw .form }
        guard claims["iss"]?.string == issuer.configuration.issuer else { throw .issuer }
        if let type = jws.header.type,
            !["logout+jwt", "application/logout+jwt", "JWT"].contains(where: type.equalsIgnoringASCIICase)
        {
            throw .form
        }
        guard issuer.configuration.algorithms.contains(jws.header.algorithm) else { throw .signature }
        guard let keyID = jws.header.keyID else { throw .signature }
        switch await issuer.keys.key(keyID) {
        case .found(let key):
            do {
                _ = try jws.verified(with: key)
            } catch {
                throw .signature
            }
        case .unknown: throw .signature
        case .unavailable: throw .unavailable
        }
        let logout = try Self.logout(claims, issuer.configuration, at: now.timeIntervalSince1970)
        let digest = try remember(claims["jti"]?.string, at: now.timeIntervalSince1970)
        return TakenLogout(logout: logout, issuer: issuer.configuration.name, digest: digest)
    }

    /// Lets the token be taken again: nothing came of it.
    func putBack(_ logout: TakenLogout) {
        _ = taken.withLock { $0.removeValue(forKey: logout.digest) }
    }

    /// Whose sessions the claims of a logout token name, once its signature and `iss` were found good.
    package static func logout(
        _ claims: JSONObject, _ issuer: IssuerConfiguration, at now: Double
    ) throws(LogoutFailure) -> Logout {
        let audiences = claims["aud"]?.array?.compactMap(\.string) ?? [claims["aud"]?.string].compactMap(\.self)
        guard audiences.contains(issuer.audience) else { throw .audience }
        guard let issuedAt = claims["iat"]?.number, abs(now - issuedAt) <= maximumAge else { throw .time }
        // Required since the final text; where it is missing, the two minutes of iat are the limit.
        if let expiry = claims["exp"] {
            guard let end = expiry.number, now < end.rounded(.down) + JWTAuthenticator.leeway else { throw .time }
        }
        // §2.4: an ID token must not pass for one.
        guard claims["nonce"] == nil else { throw .nonce }
        guard claims["events"]?.object?[event]?.object != nil else { throw .event }
        let (subject, session) = (claims["sub"]?.string, claims["sid"]?.string)
        guard claims["sub"] == nil || subject.map(isAcceptable) == true,
            claims["sid"] == nil || session.map(isAcceptable) == true
        else { throw .form }
        let identity = subject.map { ExactString("\(issuer.name):\($0)") }
        if let session { return .session(session, of: identity) }
        guard let identity else { throw .form }
        return .subject(identity)
    }

    private static func isAcceptable(_ text: ExactString) -> Bool {
        !text.isEmpty && text.utf8.count <= JWTAuthenticator.maximumSubjectLength && !text.hasControlCharacters
    }

    /// - Returns: what it is remembered by.
    private func remember(_ id: ExactString?, at now: Double) throws(LogoutFailure) -> [UInt8] {
        guard let id, Self.isAcceptable(id) else { throw .form }
        let digest = HashAlgorithm.sha256.digest(Array(id.utf8))
        let isNew = taken.withLock { taken -> Bool? in
            if taken.count >= Self.maximumRemembered { taken = taken.filter { now < $0.value } }
            guard taken.count < Self.maximumRemembered else { return nil }
            // Until iat is too old, also where it lies in the future.
            return taken.updateValue(now + 2 * Self.maximumAge + 1, forKey: digest) == nil
        }
        guard let isNew else { throw .unavailable }
        guard isNew else { throw .replayed }
        return digest
    }
}

/// A logout token that was good, and is good for nobody else meanwhile.
struct TakenLogout: Sendable {
    let logout: Logout
    /// At which people sign in.
    let issuer: IssuerName
    /// Of its id.
    fileprivate let digest: [UInt8]
}

/// Whose sessions end.
package enum Logout: Sendable, Hashable {
    /// Those of this session at the provider (`sid`), of this identity where the token names one.
    case session(ExactString, of: ExactString?)
    /// All of this identity: `name:sub`.
    case subject(ExactString)
}

/// Why a logout token ends nothing.
package enum LogoutFailure: Error, Sendable, Equatable {
    /// It is no token, or a part of it has no acceptable form.
    case form
    case issuer, signature, audience, time, nonce, event, replayed
    /// The issuer's keys are not known, too many tokens came, or the sessions could not be ended for good: the provider is
    /// to try again.
    case unavailable

    /// For the provider and the log: what is wrong, without a word of the token's own.
    package var words: String {
        switch self {
        case .form: "it is no logout token: its form, its typ, jti, sub or sid is not acceptable"
        case .issuer: "iss is not the provider where people sign in"
        case .signature: "the signature is not that of one of the provider's keys"
        case .audience: "aud does not name this client"
        case .time: "iat is more than 2 minutes from now, or it has expired"
        case .nonce: "it has a nonce, as only an ID token may"
        case .event: "events does not have the member of a back-channel logout"
        case .replayed: "it was taken before"
        case .unavailable: "it cannot be decided or recorded at the moment; try again"
        }
    }

    /// As logs name it.
    package var reason: RefusalReason {
        switch self {
        case .form: .malformed
        case .issuer: .issuer
        case .signature: .signature
        case .audience: .audience
        case .time: .expired
        case .nonce, .event: .claim
        case .replayed: .replayed
        case .unavailable: .keysUnavailable
        }
    }
}
