package import JOSE

/// What somebody gets who signed in, or stays so.
package struct SignInResponse: Sendable {
    package let token: ExchangeResponse
    /// Nil where the session lasts no longer than its first token.
    package let refreshToken: SecretText?
    package let email: ExactString?
}

/// Why there is no token, as the caller may know it.
package enum SignInRefusal: Error, Sendable {
    /// A parameter that is required.
    case missing(String)
    // Of a device code (RFC 8628 §3.5).
    case pending, slowDown, expired
    /// Nil where it was decided in this very request.
    case denied(DeviceDenial?)
    /// The refresh token is good for nothing: its holder has to sign in again.
    case ended(SignInEnd)
    /// More scope than is granted.
    case scope
    /// Too many wait for their turn with the same session.
    case busy
    /// Nothing is wrong with the request; it may work later.
    case unavailable(ExchangeOutage)
}

/// Why somebody is signed in no longer, as he may know it himself. Of a block nobody learns.
package enum SignInEnd: Sendable, Equatable {
    /// There is no such refresh token here.
    case unknown
    case revoked
    /// `max_session`.
    case time
    /// A refresh token was used twice.
    case reuse
    /// It lets him in no longer.
    case provider
    /// The provider vouches for somebody else, or to another client.
    case person
    case rules
    case unsaid

    init(_ reason: RefusalReason) {
        switch reason {
        case .revoked: self = .revoked
        case .sessionOver: self = .time
        case .replayed: self = .reuse
        default: self = .unsaid
        }
    }
}
