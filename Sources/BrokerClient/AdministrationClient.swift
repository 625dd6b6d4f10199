import AsyncHTTPClient
import CertificateNames
import FoundationEssentials
import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL

/// Speaks with a broker's administration listener. One request at a time, each over a connection of its own.
package struct AdministrationClient: Sendable {
    /// In bytes: of a page of 1000 sessions with what they hold.
    private static let maximumAnswerLength = 16 << 20
    private static let timeout: TimeAmount = .seconds(30)

    private let address: BrokerAddress
    private let client: HTTPClient

    /// - Throws: `unusableAuthorities`
    package init(_ address: BrokerAddress) throws(ClientFailure) {
        self.address = address
        var configuration = HTTPClient.Configuration(
            redirectConfiguration: .disallow,
            timeout: .init(connect: .seconds(10), read: .seconds(30)))
        configuration.httpVersion = .http1Only
        // Who refuses a connection now is not asked for ten seconds more.
        configuration.connectionPool.retryConnectionEstablishment = false
        if case .url(_, _, let authorities?) = address {
            var tls = TLSConfiguration.makeClientConfiguration()
            tls.trustRoots = .certificates(try Self.certificates(authorities))
            configuration.tlsConfiguration = tls
        }
        if case .url(let origin, _, _) = address, let host = BrokerAddress.secureHost(of: origin) {
            // Before anything is asked: a connection that fails here is none.
            configuration.http1_1ConnectionDebugInitializer = { channel in
                channel.eventLoop.submit { try CertifiedHost.check(channel, for: host) }
            }
        }
        client = HTTPClient(
            eventLoopGroupProvider: .shared(MultiThreadedEventLoopGroup.singleton), configuration: configuration)
    }

    /// Read before anything is sent: a file that cannot be used is no broker that cannot be reached.
    static func certificates(_ path: String) throws(ClientFailure) -> [NIOSSLCertificate] {
        let bytes: [UInt8]
        do throws(TokenFailure) {
            bytes = try SmallFile.read(path, atMost: 1 << 20)
        } catch {
            throw .unusableAuthorities(error.words)
        }
        guard let certificates = try? NIOSSLCertificate.fromPEMBytes(bytes), !certificates.isEmpty else {
            throw .unusableAuthorities("\(path): it holds no certificate in PEM")
        }
        return certificates
    }

    /// Ends what is open. Nothing else is to be called after it.
    package func close() async {
        try? await client.shutdown()
    }

    /// `GET /admin/v1/PATH`
    package func get(_ path: String, _ query: [(String, String)] = []) async throws(ClientFailure) -> JSON {
        try await send("GET", Self.path(path, query), nil)
    }

    /// `POST /admin/v1/PATH`
    package func post(_ path: String, _ body: JSON? = nil) async throws(ClientFailure) -> JSON {
        try await send("POST", path, body.map { .json($0) })
    }

    /// The same with a secret as the body, byte for byte. The copy of it that is sent is wiped afterwards.
    package func post(_ path: String, _ secret: SecretInput) async throws(ClientFailure) -> JSON {
        var bytes = ByteBufferAllocator().buffer(capacity: secret.count)
        secret.withBytes { _ = bytes.writeBytes($0) }
        defer { Self.wipe(bytes) }
        return try await send("POST", path, .secret(bytes))
    }

    private static func wipe(_ bytes: ByteBuffer) {
        bytes.withUnsafeReadableBytes { bytes in
            // Not as a change of the buffer: where its memory is shared that would be one of a copy.
            if let start = bytes.baseAddress { explicit_bzero(UnsafeMutableRawPointer(mutating: start), bytes.count) }
        }
    }

    private enum Body {
        case json(JSON)
        case secret(ByteBuffer)

        var type: String {
            switch self {
            case .json: "application/json"
            case .secret: "application/octet-stream"
            }
        }

        func bytes() throws -> ByteBuffer {
            switch self {
            case .json(let json): ByteBuffer(bytes: Array(try json.encoded()))
            case .secret(let bytes): bytes
            }
        }
    }

    /// The elements of a list, page after page, at most `limit` of them.
    /// - Returns: also whether there are more.
    package func list(
        _ path: String, _ name: String, _ query: [(String, String)] = [], atMost limit: Int
    ) async throws(ClientFailure) -> (elements: [JSON], isComplete: Bool) {
        var (elements, cursor): ([JSON], String?) = ([], nil)
        repeat {
            var query = query + [("limit", String(min(1000, limit - elements.count)))]
            if let cursor { query.append(("cursor", cursor)) }
            let page = try await get(path, query)
            elements += page.list(name)
            let next = page["next"]?.text
            guard next == nil || next != cursor else { throw .unreadable("the broker's list does not end") }
            cursor = next
        } while cursor != nil && elements.count < limit
        return (Array(elements.prefix(limit)), cursor == nil)
    }

    /// A part of a list that comes as lines of JSON.
    package struct Lines: Sendable {
        /// As the broker sent them.
        package let bytes: [UInt8]
        /// What the next part is asked for with.
        package let next: Int
        /// Whether this was the last, by now.
        package let isComplete: Bool
    }

    /// `GET /admin/v1/PATH`, of what comes as lines.
    package func lines(_ path: String, _ query: [(String, String)]) async throws(ClientFailure) -> Lines {
        let answer = try await exchange("GET", Self.path(path, query), nil)
        guard (200...299).contains(answer.status) else { throw failure(answer) }
        guard let next = answer.headers.first(name: "Daypass-Next").flatMap({ Int($0) }) else {
            throw .unreadable("the broker's answer does not say where it ends")
        }
        return Lines(
            bytes: Array(answer.bytes), next: next,
            isComplete: answer.headers.first(name: "Daypass-Complete") == "true")
    }

    private static func path(_ path: String, _ query: [(String, String)]) -> String {
        let text = query.map { "\(encode($0))=\(encode($1))" }.joined(separator: "&")
        return text.isEmpty ? path : "\(path)?\(text)"
    }

    private func send(_ method: String, _ path: String, _ body: Body?) async throws(ClientFailure) -> JSON {
        let answer = try await exchange(method, path, body)
        guard (200...299).contains(answer.status) else { throw failure(answer) }
        guard let json = try? JSON(parsing: answer.bytes), case .object = json else {
            throw .unreadable("the answer is no JSON object")
        }
        return json
    }

    private func failure(_ answer: Answer) -> ClientFailure {
        let (json, status) = (try? JSON(parsing: answer.bytes), answer.status)
        let message = json?["message"]?.text ?? Self.words(status, at: place)
        if status == 503, let json, json["applied"]?.flag == true {
            return .notDurable(
                json.list("revocations").compactMap { $0["sequence"]?.count }, message: message, answer: json)
        }
        switch status {
        case 401, 403: return .notPermitted(message)
        default: return .refused(status: status, message: message, trace: json?["trace_id"]?.text)
        }
    }

    private struct Answer {
        let status: Int
        let headers: HTTPHeaders
        let bytes: Data
    }

    private func exchange(
        _ method: String, _ path: String, _ body: Body?
    ) async throws(ClientFailure) -> Answer {
        if case .socket(let socket) = address { try Self.check(socket) }
        do {
            var request = HTTPClientRequest(url: try url(path))
            request.method = .init(rawValue: method)
            request.headers.add(name: "Connection", value: "close")
            if case .url(_, let token, _) = address {
                request.headers.add(name: "Authorization", value: "Bearer \(token)")
            }
            if let body {
                request.headers.add(name: "Content-Type", value: body.type)
                request.body = .bytes(try body.bytes())
            }
            let response = try await client.execute(request, timeout: Self.timeout)
            let answer = try await response.body.collect(upTo: Self.maximumAnswerLength)
            return Answer(
                status: Int(response.status.code), headers: response.headers, bytes: Data(answer.readableBytesView))
        } catch let failure as ClientFailure {
            throw failure
        } catch {
            throw .unreachable("\(place): \(words(error))")
        }
    }

    private func url(_ path: String) throws(ClientFailure) -> String {
        switch address {
        case .socket(let socket):
            // In its place as the host of the URL only these need no encoding.
            return "http+unix://\(Self.encode(socket))/admin/v1/\(path)"
        case .url(let origin, _, _): return "\(origin)/admin/v1/\(path)"
        }
    }

    private var place: String {
        switch address {
        case .socket(let path): path
        case .url(let origin, _, _): origin
        }
    }

    /// Tells apart, before anything is sent, that nobody is there and that this user may not.
    private static func check(_ path: String) throws(ClientFailure) {
        guard access(path, R_OK | W_OK) != 0 else { return }
        switch errno {
        case EACCES, EPERM:
            throw .notPermitted(
                "\(path): this user may not use the socket; root, the broker's own user and members of "
                    + "server.admin.group may")
        case let code: throw .unreachable("\(path): \(String(cString: strerror(code)))")
        }
    }

    /// Of an answer without a message, which no administration listener gives.
    private static func words(_ status: Int, at place: String) -> String {
        status == 404
            ? "\(place) answers 404: it has to be the address of server.admin.listen, not that of another listener"
            : "the broker answers \(status)"
    }

    private func words(_ error: any Error) -> String { ConnectionWords.words(error, hint) }

    private var hint: String {
        if case .url(let origin, _, _) = address, origin.hasPrefix("http:") { "; it may want https" } else { "" }
    }

    /// Percent-encoded, all but the unreserved characters (RFC 3986 §2.3).
    static func encode(_ text: String) -> String {
        let digits = Array("0123456789ABCDEF".utf8)
        var output: [UInt8] = []
        for byte in text.utf8 {
            let isPlain = byte.isLetterOrDigit || [0x2D, 0x2E, 0x5F, 0x7E].contains(byte)
            output += isPlain ? [byte] : [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        }
        return String(decoding: output, as: UTF8.self)
    }
}
