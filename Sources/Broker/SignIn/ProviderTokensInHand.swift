import FoundationEssentials
import JOSE
import OpenSSL
import Synchronization

/// The refresh tokens that the provider gave in the place of those that are in the store, and that the store did not take.
/// The provider takes the old one for a stolen one now, and would end the sign-in. Callable from any thread; lost at a
/// restart.
final class ProviderTokensInHand: Sendable {
    static let maximum = 4096

    private let tokens = Mutex<[ExactString: (token: SecretBytes, end: Date)]>([:])

    func token(of session: ExactString) -> SecretBytes? {
        tokens.withLock { $0[session]?.token }
    }

    /// - Parameter end: of the session.
    func keep(_ token: SecretBytes, of session: ExactString, until end: Date, at now: Date) {
        tokens.withLock { tokens in
            if tokens.count >= Self.maximum { tokens = tokens.filter { now < $0.value.end } }
            guard tokens.count < Self.maximum || tokens[session] != nil else { return }
            tokens[session] = (token, end)
        }
    }

    /// It is in the store, or of no use any more.
    func forget(_ session: ExactString) {
        tokens.withLock { $0[session] = nil }
    }
}
