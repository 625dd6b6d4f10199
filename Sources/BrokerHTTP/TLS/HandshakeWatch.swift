import Broker
import NIOCore
import NIOSSL
import NIOTLS

/// Sees how a handshake ends, counts it, and ends one that takes too long. It sits right behind the TLS handler.
final class HandshakeWatch: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    /// From accepting the connection.
    static let limit: TimeAmount = .seconds(5)

    private let identity: ConnectionIdentity
    private let metrics: TLSMetrics
    private let log: HandshakeLog
    private let limit: TimeAmount
    private var isUnderWay = true
    private var timer: Scheduled<Void>?

    init(
        _ identity: ConnectionIdentity, metrics: TLSMetrics, log: HandshakeLog, limit: TimeAmount = HandshakeWatch.limit
    ) {
        self.limit = limit
        self.identity = identity
        self.metrics = metrics
        self.log = log
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        timer = context.eventLoop.scheduleTask(in: limit) {
            let (handler, context) = bound.value
            guard handler.isUnderWay else { return }
            let seconds = handler.limit.nanoseconds / 1_000_000_000
            handler.failed(.tooSlow, .failed, "it took more than \(seconds) s", context)
            context.close(promise: nil)
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        end()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if isUnderWay, case .some(.handshakeCompleted) = event as? TLSUserEvent {
            end()
            identity.prove()
            metrics.ended(identity.peer == nil ? .noCertificate : .certificate)
        }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // The TLS handler closes the connection after each of its own, but for one: an end without a word of farewell. HTTP
        // says itself where a message ends, so that nothing can be cut off unseen.
        guard let error = error as? NIOSSLError else { return context.fireErrorCaught(error) }
        guard isUnderWay else { return }
        if let refusal = identity.refusal {
            failed(.refusedCertificate, .refusedCertificate, "\(refusal)", context)
        } else if error.isEndOfInput {
            failed(.closed, nil, "", context)
        } else {
            failed(.failed, .failed, error.reason, context)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        if isUnderWay { failed(.closed, nil, "", context) }
        context.fireChannelInactive()
    }

    /// - Parameter event: nil for what is no more than counted.
    private func failed(
        _ outcome: TLSMetrics.Handshake, _ event: HandshakeLog.Event?, _ reason: String,
        _ context: ChannelHandlerContext
    ) {
        end()
        metrics.ended(outcome)
        guard let event else { return }
        let client = context.remoteAddress.flatMap { ClientAddress($0) } ?? .unknown
        log.note(event, reason: reason, client)
    }

    private func end() {
        isUnderWay = false
        timer?.cancel()
        timer = nil
    }
}

@available(*, unavailable)
extension HandshakeWatch: Sendable {}

extension NIOSSLError {
    /// Whether the client did no more than go away.
    fileprivate var isEndOfInput: Bool {
        guard case .handshakeFailed(.sslError(let stack)) = self else { return false }
        return stack == [.eofDuringHandshake]
    }

    /// BoringSSL's own name for what it refused, or what the client said that it refuses (`…_ALERT_…`).
    fileprivate var reason: String {
        guard case .handshakeFailed(let failure) = self else { return "\(self)" }
        guard case .sslError(let stack) = failure, let first = stack.first else { return "\(failure)" }
        // error:10000412:SSL routines:OPENSSL_internal:SSLV3_ALERT_BAD_CERTIFICATE at /…/tls_record.cc:592
        let text = first.description
        let parts = text.split(separator: ":", maxSplits: 5)
        guard parts.count == 6, parts[4] == "OPENSSL_internal" else { return text }
        return String(parts[5].prefix { $0 != " " })
    }
}
