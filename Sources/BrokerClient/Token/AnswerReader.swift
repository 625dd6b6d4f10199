import FoundationEssentials
import NIOCore
import NIOHTTP1

/// The end of a connection for one request: the whole answer, or why there is none.
final class AnswerReader: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart

    enum Failure: Error {
        case late
        case tooLong
        /// The connection was closed before the end of an answer.
        case closed
    }

    /// In bytes, of a body.
    static let maximumLength = 64 * 1024

    private let answer: EventLoopPromise<BoundedHTTP.Answer>
    private var head: HTTPResponseHead?
    private var body = Data()

    init(_ answer: EventLoopPromise<BoundedHTTP.Answer>) {
        self.answer = answer
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): self.head = head
        case .body(let bytes):
            guard body.count + bytes.readableBytes <= Self.maximumLength else { return answer.fail(Failure.tooLong) }
            body.append(contentsOf: bytes.readableBytesView)
        case .end:
            guard let head else { return answer.fail(Failure.closed) }
            answer.succeed(
                BoundedHTTP.Answer(status: Int(head.status.code), headers: head.headers, body: body))
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        answer.fail(Failure.closed)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        answer.fail(error)
        context.close(promise: nil)
    }
}
