import FoundationEssentials
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Synchronization

/// Requests whose whole answers come within a time and a size, each over a connection of its own, once.
///
/// On SwiftNIO itself: to set up an HTTP client takes longer than all the rest of a check. A command that asks nobody
/// starts no thread.
final class BoundedHTTP: Sendable {
    struct Request: Sendable {
        var method = HTTPMethod.GET
        /// `http` or `https`, an origin, and what is asked for there.
        let url: String
        var headers: HTTPHeaders = [:]
        var body = ""
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

        /// After which to come again, 1 s to an hour. In seconds; the other form (RFC 9110 §10.2.3) is a date, by a clock that
        /// need not be this one's.
        var pause: Duration {
            let seconds = headers.first(name: "Retry-After").flatMap { Int($0) } ?? 1
            return .seconds(min(max(seconds, 1), 3600))
        }
    }

    private let tls: ClientTLS
    private let context = Mutex<NIOSSLContext?>(nil)

    init(_ tls: ClientTLS = ClientTLS()) {
        self.tls = tls
    }

    /// - Throws: `unreachable` where there is no answer in time, `unreadable` where it is too long, and what `ClientTLS` throws.
    func send(_ request: Request, within time: Duration) async throws(TokenFailure) -> Answer {
        guard let target = Target(request.url) else { throw .unusable("the URL cannot be used") }
        // Files that cannot be used are said to be so over plain HTTP as well.
        let context = target.isSecure || tls.isNamed ? try opened() : nil
        guard time > .zero else { throw .unreachable("\(target.origin): no answer in time") }
        do {
            return try await Self.answer(
                to: request, at: target, target.isSecure ? context : nil, within: TimeAmount(time))
        } catch AnswerReader.Failure.tooLong {
            throw .unreadable("\(target.origin): the answer has more than \(AnswerReader.maximumLength) bytes")
        } catch {
            let hint = target.isSecure ? "" : "; it may want https"
            throw .unreachable("\(target.origin): \(ConnectionWords.words(error, hint))")
        }
    }

    private func opened() throws(TokenFailure) -> NIOSSLContext {
        if let context = context.withLock(\.self) { return context }
        let made = try tls.context()
        context.withLock { $0 = made }
        return made
    }

    private static func answer(
        to request: Request, at target: Target, _ context: NIOSSLContext?, within time: TimeAmount
    ) async throws -> Answer {
        let eventLoop = MultiThreadedEventLoopGroup.singleton.any()
        let answer = eventLoop.makePromise(of: Answer.self)
        // Whether the peer is who was asked for: without TLS he is on this machine.
        let isShown = eventLoop.makePromise(of: Void.self)
        if context == nil { isShown.succeed() }
        let timer = eventLoop.scheduleTask(in: time) { answer.fail(AnswerReader.Failure.late) }
        let bootstrap = ClientBootstrap(group: eventLoop).connectTimeout(time).channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                let pipeline = channel.pipeline.syncOperations
                if let context {
                    try pipeline.addHandler(NIOSSLClientHandler(context: context, serverHostname: target.serverName))
                    try pipeline.addHandler(NameCheck(target.host, isShown))
                }
                // Without a validator of headers: what stands in them has been checked where it came from.
                try pipeline.addHandler(HTTPRequestEncoder())
                try pipeline.addHandler(ByteToMessageHandler(HTTPResponseDecoder(leftOverBytesStrategy: .dropBytes)))
                try pipeline.addHandler(AnswerReader(answer))
            }
        }
        let connected =
            (try? SocketAddress(ipAddress: target.host, port: target.port)).map { bootstrap.connect(to: $0) }
            ?? bootstrap.connect(host: target.host, port: target.port)
        connected.whenFailure { error in
            isShown.fail(error)
            answer.fail(error)
        }
        // Also where the time was over before.
        connected.whenSuccess { channel in answer.futureResult.whenComplete { _ in channel.close(promise: nil) } }
        isShown.futureResult.whenFailure { answer.fail($0) }
        connected.and(isShown.futureResult).whenSuccess { channel, _ in
            var headers = request.headers
            headers.replaceOrAdd(name: "Host", value: target.authority)
            headers.replaceOrAdd(name: "Connection", value: "close")
            if request.method == .POST {
                headers.replaceOrAdd(name: "Content-Length", value: "\(request.body.utf8.count)")
            }
            let head = HTTPRequestHead(version: .http1_1, method: request.method, uri: target.path, headers: headers)
            channel.write(HTTPClientRequestPart.head(head)).cascadeFailure(to: answer)
            if !request.body.isEmpty {
                let body = channel.allocator.buffer(string: request.body)
                channel.write(HTTPClientRequestPart.body(.byteBuffer(body))).cascadeFailure(to: answer)
            }
            channel.writeAndFlush(HTTPClientRequestPart.end(nil)).cascadeFailure(to: answer)
        }
        defer { timer.cancel() }
        return try await answer.futureResult.get()
    }

    /// Where a request goes.
    private struct Target {
        /// Of the URL nothing but this is shown: a path may hold what is nobody else's.
        let origin: String
        let isSecure: Bool
        /// Without brackets.
        let host: String
        let port: Int
        /// As the URL has it.
        let authority: String
        let path: String

        /// - Returns: nil for what is no http or https URL, or has characters that none has.
        init?(_ url: String) {
            let parts = url.split(separator: "/", maxSplits: 3, omittingEmptySubsequences: false).map(String.init)
            guard parts.count >= 3, parts[0] == "https:" || parts[0] == "http:", parts[1].isEmpty,
                url.utf8.allSatisfy({ (0x21...0x7E).contains($0) && $0 != UInt8(ascii: "#") })
            else { return nil }
            let authority = parts[2]
            isSecure = parts[0] == "https:"
            origin = "\(parts[0])//\(authority)"
            path = "/\(parts.count > 3 ? parts[3] : "")"
            self.authority = authority
            let place = Authority(authority)
            host = place.host
            let usual: UInt16? = isSecure ? 443 : 80
            guard !host.isEmpty, let port = place.port.map({ UInt16($0) }) ?? usual else { return nil }
            self.port = Int(port)
        }

        /// RFC 6066 §3: no address. Its certificate is compared with that of the connection.
        var serverName: String? {
            (try? SocketAddress(ipAddress: host, port: 0)) == nil ? host : nil
        }
    }
}
