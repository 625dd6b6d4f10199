import NIOCore
import NIOHTTP1
import NIOSSL
import NIOTLS
import SPIFFE

/// Asks once, as soon as the other end has proved who it is, reads the answer and closes the connection.
final class SingleGET: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundOut = HTTPClientRequestPart

    /// Heads of status 1xx before the one that counts.
    static let maximumInterimHeads = 4

    private let url: OutboundURL
    private let peer: SPIFFEPeer
    private let answer: EventLoopPromise<OutboundAnswer>
    private var state = State.awaitingHead(interim: 0)
    private var body: [UInt8] = []

    private enum State {
        case awaitingHead(interim: Int)
        case reading(maximumAge: Duration?)
        case over
    }

    init(_ url: OutboundURL, from peer: SPIFFEPeer, answer: EventLoopPromise<OutboundAnswer>) {
        (self.url, self.peer, self.answer) = (url, peer, answer)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .some(.handshakeCompleted) = event as? TLSUserEvent { ask(context) }
        context.fireUserInboundEventTriggered(event)
    }

    private func ask(_ context: ChannelHandlerContext) {
        // The handshake does not complete without; were it ever to, nothing is asked.
        guard peer.isProved else { return fail(.identity(url, .noCertificate), context) }
        let port = url.port == url.scheme.defaultPort ? "" : ":\(url.port)"
        let head = HTTPRequestHead(
            version: .http1_1, method: .GET, uri: url.target,
            headers: [
                "Host": "\(url.host)\(port)", "User-Agent": "daypass", "Accept": "application/json",
                "Connection": "close",
            ])
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch (unwrapInboundIn(data), state) {
        case (_, .over): break
        case (.head(let head), .awaitingHead(let interim)): read(head, after: interim, context)
        case (.body(let part), .reading):
            guard body.count + part.readableBytes <= GuardedFetcher.maximumBodyBytes else {
                return fail(.bodyTooLarge(url), context)
            }
            body += part.readableBytesView
        case (.end, .reading(let maximumAge)):
            succeed(.document(FetchedDocument(body: body, maximumAge: maximumAge)), context)
        case (.head, .reading), (.body, .awaitingHead), (.end, .awaitingHead):
            fail(.connection(url, "its answer has no order"), context)
        }
    }

    private func read(_ head: HTTPResponseHead, after interim: Int, _ context: ChannelHandlerContext) {
        guard !(100..<200).contains(head.status.code) || head.status == .switchingProtocols else {
            guard interim < Self.maximumInterimHeads else {
                return fail(
                    .connection(url, "it has more than \(Self.maximumInterimHeads) heads before its answer"), context)
            }
            return state = .awaitingHead(interim: interim + 1)
        }
        do throws(FetchFailure) {
            switch try AnswerHead(status: Int(head.status.code), headers: head.headers, from: url) {
            case .document(let maximumAge): state = .reading(maximumAge: maximumAge)
            case .redirect(let location): succeed(.redirect(location), context)
            }
        } catch {
            fail(error, context)
        }
    }

    /// The TLS handler closes the connection after most of its errors, not after all.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if let refusal = peer.refusal {
            fail(.notReached(refusal), context)
        } else {
            failed(ConnectionReason.words(for: error), context)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        failed(ConnectionReason.endedEarly, context)
        context.fireChannelInactive()
    }

    /// Without any answer, another address may do better.
    private func failed(_ reason: String, _ context: ChannelHandlerContext) {
        let failure = FetchFailure.connection(url, reason)
        if case .awaitingHead = state {
            fail(.notReached(failure), context)
        } else {
            fail(failure, context)
        }
    }

    private func succeed(_ result: OutboundAnswer, _ context: ChannelHandlerContext) {
        state = .over
        answer.succeed(result)
        context.close(promise: nil)
    }

    private func fail(_ failure: FetchFailure, _ context: ChannelHandlerContext) {
        fail(.refused(failure), context)
    }

    private func fail(_ failure: OutboundFailure, _ context: ChannelHandlerContext) {
        if case .over = state { return }
        state = .over
        answer.fail(failure)
        // Whatever it still sends is not even read.
        try? context.channel.syncOptions?.setOption(.autoRead, value: false)
        context.close(promise: nil)
    }
}

@available(*, unavailable)
extension SingleGET: Sendable {}
