import Broker
import BrokerHTTP
import BrokerTesting
import FoundationEssentials
import NIOCore
import NIOSSL
import OpenSSL
import SPIFFE
import Synchronization

/// What a bundle endpoint shows of itself: certificates of a trust domain of a test's own, and their key.
struct SVIDEndpoint {
    static let id = "spiffe://prod.example.com/bundle-endpoint"

    /// The leaf first, in DER.
    var chain: [[UInt8]]
    let key: PrivateKey

    /// - Parameter edit: what its leaf says other than usual.
    init(
        _ id: String = Self.id, of authority: TestCA, intermediates: [TestCA] = [],
        edit: (CertificateTemplate) -> CertificateTemplate = { $0 }
    ) throws {
        key = try PrivateKey.generate(.ellipticCurve(.p256))
        let leaf = try (intermediates.first ?? authority).workload(id, key: key, edit: edit)
        chain = [leaf] + intermediates.map(\.certificate)
    }

    init(chain: [[UInt8]], key: PrivateKey) {
        (self.chain, self.key) = (chain, key)
    }

    /// - Parameter serverNames: told the name that each client asks for.
    func serverContext(serverNames: NamesAskedFor? = nil) throws -> NIOSSLContext {
        let pkcs8 = try key.pkcs8().withSpan { span in span.indices.map { span[$0] } }
        var configuration = try TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate(try NIOSSLCertificate(bytes: $0, format: .der)) },
            privateKey: .privateKey(try NIOSSLPrivateKey(bytes: pkcs8, format: .der)))
        configuration.shutdownTimeout = .milliseconds(100)
        if let serverNames {
            configuration.sslContextCallback = { hello, promise in
                serverNames.all.withLock { $0.append(hello.serverHostname) }
                promise.succeed(.noChanges)
            }
        }
        return try NIOSSLContext(configuration: configuration)
    }
}

/// By TLS's server name indication; nil where a client sent none.
final class NamesAskedFor: Sendable {
    let all = Mutex<[String?]>([])
}

/// A fetcher with bundles that a test changes.
struct BundleFetching {
    let bundles: Mutable<TrustBundleSet>
    let clock = ManualClock()
    let resolver: StubResolver
    let fetcher: SPIFFEBundleFetcher

    final class Mutable<Value: Sendable>: Sendable {
        private let state: Mutex<Value>
        init(_ value: Value) { state = Mutex(value) }
        var value: Value {
            get { state.withLock { $0 } }
            set { state.withLock { $0 = newValue } }
        }
    }

    init(
        _ bundles: TrustBundleSet, resolver: StubResolver = StubResolver(), timeLimit: Duration = .seconds(60)
    ) {
        let bundles = Mutable(bundles)
        (self.bundles, self.resolver) = (bundles, resolver)
        fetcher = SPIFFEBundleFetcher(
            resolver: resolver, bundles: { bundles.value }, clock: clock, timeLimit: timeLimit)
    }

    func fetch(
        _ url: String, from id: String = SVIDEndpoint.id, allowsPrivateAddresses: Bool = true
    ) async throws -> FetchedDocument {
        try await fetcher.fetch(
            OutboundURL(parsing: url), from: SPIFFEID(parsing: Array(id.utf8)),
            allowsPrivateAddresses: allowsPrivateAddresses, before: fetcher.deadline)
    }

    /// The failure of fetching, nil where it succeeds.
    func refusal(of url: String, from id: String = SVIDEndpoint.id) async throws -> FetchFailure? {
        do {
            _ = try await fetch(url, from: id)
            return nil
        } catch let failure as FetchFailure {
            return failure
        }
    }
}

extension LoopbackServer {
    var secureOrigin: String { "https://127.0.0.1:\(port)" }
}
