import Broker
import NIOCore
import NIOSSL
import SPIFFE
import Synchronization

/// Who is at the other end of one connection. It is kept beside the connection, and only our own validation fills it: what
/// TLS itself remembers of a peer could be from another time.
final class ConnectionIdentity: Sendable {
    /// That of the connection whose requests this task answers; nil on a listener without TLS.
    @TaskLocal static var current: ConnectionIdentity?

    private let state = Mutex(State.none)

    private enum State {
        case none
        case refused(X509SVIDFailure)
        /// The chain is good; that the peer has its key is not shown before the handshake is done.
        case claimed(PeerIdentity)
        case proved(PeerIdentity)
    }

    /// Nil where the client sent none.
    var peer: PeerIdentity? {
        guard case .proved(let peer) = state.withLock({ $0 }) else { return nil }
        return peer
    }

    /// Why the client's certificate was refused.
    var refusal: X509SVIDFailure? {
        guard case .refused(let failure) = state.withLock({ $0 }) else { return nil }
        return failure
    }

    /// Who the certificates, in the order in which they were sent, are by what `validate` says of their DER.
    /// - Returns: whether they prove anything.
    func claim(
        _ certificates: [NIOSSLCertificate], _ validate: ([[UInt8]]) throws(X509SVIDFailure) -> X509SVID
    ) -> Bool {
        let outcome: State
        do throws(X509SVIDFailure) {
            let chain = try certificates.chain()
            outcome = .claimed(PeerIdentity(try validate(chain), chain: chain))
        } catch {
            outcome = .refused(error)
        }
        state.withLock { $0 = outcome }
        if case .refused = outcome { return false }
        return true
    }

    /// The handshake is done, and with it shown whose key it was.
    func prove() {
        state.withLock { state in
            if case .claimed(let peer) = state { state = .proved(peer) }
        }
    }
}
