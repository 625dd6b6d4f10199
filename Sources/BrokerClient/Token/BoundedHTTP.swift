import AsyncHTTPClient
import FoundationEssentials
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Synchronization

/// Requests whose whole answers come within a time and a size. The client is made with the first: who answers from a
/// cache starts no thread.
final class BoundedHTTP: Sendable {
    /// Whom it trusts, and who it is.
    struct TLS: Sendable {
        /// PEM; the system's where it is nil.
        var authorities: String?
        var certificate: (chain: String, key: String)?
    }

    struct Answer: Sendable {
        let status: Int
        let headers: HTTPHeaders
        let body: Data

        /// The media type, without parameters, in small letters.
        var type: String {
            let value = headers.first(name: "Content-Type") ?? ""
            let type = value.prefix { $0 != ";" }.lowercased()
            return String(type.filter { $0 != " " })
        }
    }

    /// In bytes.
    private static let maximumLength = 64 * 1024

    private let tls: TLS
    private let client = Mutex<HTTPClient?>(nil)

    init(_ tls: TLS = TLS()) {
        self.tls = tls
    }

    deinit {
        guard let client = client.withLock(\.self) else { return }
        // Nobody waits for it: a process that ends closes its connections in any case.
        Task.detached { try? await client.shutdown() }
    }

    func send(_ request: HTTPClientRequest, within time: Duration) async throws(TokenFailure) -> Answer {
        let client = try opened()
        let place = Self.place(request.url)
        guard time > .zero else { throw .unreachable("\(place): no answer in time") }
        var request = request
        request.headers.replaceOrAdd(name: "Connection", value: "close")
        let whole = request
        do {
            let answer = try await Self.within(time) {
                let response = try await client.execute(whole, deadline: NIODeadline.now() + TimeAmount(time))
                let body = try await response.body.collect(upTo: Self.maximumLength)
                return Answer(
                    status: Int(response.status.code), headers: response.headers, body: Data(body.readableBytesView))
            }
            guard let answer else { throw TokenFailure.unreachable("\(place): no answer in time") }
            return answer
        } catch let failure as TokenFailure {
            throw failure
        } catch is NIOTooManyBytesError {
            throw .unreadable("\(place): the answer has more than \(Self.maximumLength) bytes")
        } catch {
            let hint = place.hasPrefix("http:") ? "; it may want https" : ""
            throw .unreachable("\(place): \(ConnectionWords.words(error, hint))")
        }
    }

    /// - Returns: nil where the time is over before `body` is.
    private static func within<Value: Sendable>(
        _ time: Duration, _ body: @escaping @Sendable () async throws -> Value
    ) async throws -> Value? {
        try await withThrowingTaskGroup(of: Value?.self) { group in
            group.addTask { try await body() }
            group.addTask {
                try await Task.sleep(for: time)
                return nil
            }
            defer { group.cancelAll() }
            return try await group.next() ?? nil
        }
    }

    /// Only the origin: a path may hold what is nobody else's.
    private static func place(_ url: String) -> String {
        url.split(separator: "/", maxSplits: 3, omittingEmptySubsequences: false).prefix(3).joined(separator: "/")
    }

    private func opened() throws(TokenFailure) -> HTTPClient {
        if let client = client.withLock(\.self) { return client }
        var configuration = HTTPClient.Configuration(
            redirectConfiguration: .disallow, timeout: .init(connect: .seconds(9), read: .seconds(9)))
        configuration.httpVersion = .http1Only
        // Who refuses a connection now is not asked for ten seconds more.
        configuration.connectionPool.retryConnectionEstablishment = false
        var settings = TLSConfiguration.makeClientConfiguration()
        if let authorities = tls.authorities {
            do throws(ClientFailure) {
                let roots = try AdministrationClient.certificates(authorities)
                settings.trustRoots = .certificates(roots)
            } catch {
                if case .unusableAuthorities(let words) = error { throw .unusable("the authorities' file \(words)") }
                throw .unusable("the authorities' file \(authorities)")
            }
        }
        if let (chain, key) = tls.certificate {
            settings.certificateChain = try Self.chain(chain)
            settings.privateKey = try Self.key(key)
        }
        configuration.tlsConfiguration = settings
        let made = HTTPClient(
            eventLoopGroupProvider: .shared(MultiThreadedEventLoopGroup.singleton), configuration: configuration)
        client.withLock { $0 = made }
        return made
    }

    private static func chain(_ path: String) throws(TokenFailure) -> [NIOSSLCertificateSource] {
        _ = try SmallFile.read(path)
        guard let chain = try? NIOSSLCertificate.fromPEMFile(path), !chain.isEmpty else {
            throw .noIdentity("\(path): it holds no certificate in PEM")
        }
        return chain.map { .certificate($0) }
    }

    private static func key(_ path: String) throws(TokenFailure) -> NIOSSLPrivateKeySource {
        _ = try SmallFile.read(path)
        // Without a passphrase: nobody is asked for one.
        guard let key = try? NIOSSLPrivateKey(file: path, format: .pem, passphraseCallback: { $0([UInt8]()) }) else {
            throw .noIdentity("\(path): it holds no private key in PEM, or one with a passphrase")
        }
        return .privateKey(key)
    }
}
