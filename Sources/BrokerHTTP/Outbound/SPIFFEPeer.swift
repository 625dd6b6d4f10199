import Broker
import NIOSSL
import OpenSSL
import SPIFFE
import Synchronization

/// Who has to be at the other end of one connection, and whether it is.
final class SPIFFEPeer: Sendable {
    private let url: OutboundURL
    private let expected: SPIFFEID
    private let bundles: @Sendable () -> TrustBundleSet
    private let clock: any BrokerClock
    private let state = Mutex(State.unknown)

    private enum State {
        case unknown, proved
        case refused(FetchFailure)
    }

    /// - Parameter bundles: the newest ones, asked for when the peer shows its certificates.
    init(
        at url: OutboundURL, expected: SPIFFEID, bundles: @escaping @Sendable () -> TrustBundleSet,
        clock: any BrokerClock
    ) {
        (self.url, self.expected, self.bundles, self.clock) = (url, expected, bundles, clock)
    }

    /// Whether the certificates, in the order in which they were sent, are those of the expected SPIFFE ID. That the peer
    /// has the key is the handshake's part. Does not suspend.
    func proves(_ certificates: [NIOSSLCertificate]) -> Bool {
        do throws(FetchFailure) {
            let id = try identity(of: certificates)
            guard id == expected else { throw .otherIdentity(url, id, expected: expected) }
            state.withLock { $0 = .proved }
            return true
        } catch {
            state.withLock { $0 = .refused(error) }
            return false
        }
    }

    var isProved: Bool { state.withLock { if case .proved = $0 { true } else { false } } }

    /// What was wrong with the certificates; nil also before there were any.
    var refusal: FetchFailure? {
        state.withLock { if case .refused(let failure) = $0 { failure } else { nil } }
    }

    private func identity(of certificates: [NIOSSLCertificate]) throws(FetchFailure) -> SPIFFEID {
        let (bundles, now) = (bundles(), clock.now)
        do throws(X509SVIDFailure) {
            let chain = try certificates.chain()
            return try X509SVID.validate(chain, against: bundles, for: .tlsServer, at: now).id
        } catch {
            throw .identity(url, error)
        }
    }
}
