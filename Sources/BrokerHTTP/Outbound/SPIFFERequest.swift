import Broker
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Synchronization

/// One GET over a TLS connection of its own to one address, sent only once the other end has proved who it is.
struct SPIFFERequest: Sendable {
    let url: OutboundURL
    let address: IPAddress
    let peer: SPIFFEPeer
    let connectTimeout: Duration

    /// Of a head, its fields together and each of them.
    static let maximumHeadBytes = 16 * 1024
    static let maximumFields = 100

    /// Suspends until the whole body is there, however long that takes. Ends promptly, with any failure, when the task is
    /// cancelled. The connection is closed in any case, if need be a second later.
    func answer() async throws(OutboundFailure) -> OutboundAnswer {
        let target: SocketAddress
        do {
            target = try SocketAddress(ipAddress: address.text, port: url.port)
        } catch {
            throw .notReached(.connection(url, ConnectionReason.words(for: error)))
        }
        let eventLoop = MultiThreadedEventLoopGroup.singleton.any()
        let answer = eventLoop.makePromise(of: OutboundAnswer.self)
        let connection = OnlyConnection()
        let bootstrap = ClientBootstrap(group: eventLoop)
            .connectTimeout(TimeAmount(connectTimeout))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try connection.begin(channel)
                    try addHandlers(to: channel, answer)
                }
            }
        do {
            bootstrap.connect(to: target).whenFailure { answer.fail($0) }
            return try await withTaskCancellationHandler {
                try await answer.futureResult.get()
            } onCancel: {
                connection.end()
                answer.fail(CancellationError())
            }
        } catch let failure as OutboundFailure {
            throw failure
        } catch {
            throw .notReached(.connection(url, ConnectionReason.words(for: error)))
        }
    }

    /// On the event loop of the channel.
    private func addHandlers(to channel: any Channel, _ answer: EventLoopPromise<OutboundAnswer>) throws {
        let peer = peer
        let tls = try NIOSSLClientHandler(context: Self.context(), serverHostname: serverName) {
            certificates, promise in
            promise.succeed(peer.proves(certificates) ? .certificateVerified : .failed)
        }
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderFieldSize = Self.maximumHeadBytes
        limits.maxHeaderListSize = Self.maximumHeadBytes
        limits.maxHeaderFieldCount = Self.maximumFields
        let decoder = HTTPResponseDecoder(
            leftOverBytesStrategy: .dropBytes, informationalResponseStrategy: .forward, limitConfiguration: limits)
        try channel.pipeline.syncOperations.addHandlers(
            tls, HTTPRequestEncoder(), ByteToMessageHandler(decoder), SingleGET(url, from: peer, answer: answer))
    }

    /// One for each connection, so that no session of another is ever resumed: the certificates of a resumed one would be
    /// believed unseen.
    private static func context() throws -> NIOSSLContext {
        var tls = TLSConfiguration.makeClientConfiguration()
        tls.minimumTLSVersion = .tlsv12
        // Nobody is trusted by BoringSSL itself: `SPIFFEPeer` decides, and host names prove nothing.
        tls.trustRoots = .certificates([])
        tls.certificateVerification = .noHostnameVerification
        tls.verifySignatureAlgorithms = SignatureAlgorithm.ofSVIDs
        // With P-521, without which TLS 1.2 takes no such certificate.
        tls.curves = [.x25519_MLKEM768, .x25519, .secp256r1, .secp384r1, .secp521r1]
        tls.applicationProtocols = ["http/1.1"]
        // How long the other end has to answer that it heard of the end.
        tls.shutdownTimeout = .seconds(1)
        return try NIOSSLContext(configuration: tls)
    }

    /// RFC 6066 §3: addresses are not sent.
    private var serverName: String? {
        switch url.host {
        case .name(let name): name
        case .address: nil
        }
    }
}

/// The channel of a request, from before it is connected until somebody gives it up.
private final class OnlyConnection: Sendable {
    private let state = Mutex(State.none)

    private enum State {
        case none, ended
        case open(any Channel)
    }

    /// - Throws: when it was given up already.
    func begin(_ channel: any Channel) throws {
        try state.withLock {
            if case .ended = $0 { throw CancellationError() }
            $0 = .open(channel)
        }
    }

    func end() {
        let state = state.withLock { state in
            defer { state = .ended }
            return state
        }
        if case .open(let channel) = state { channel.close(promise: nil) }
    }
}
