import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import Testing

/// A secret that is sent where none belongs, or not as it has to be.
@Suite(.onOwnThreads, .timeLimit(.minutes(5)), .enabled(if: geteuid() == 0 && Programs.python != nil))
struct `A secret that is refused` {
    private struct Sent: CustomStringConvertible {
        let method: HTTPMethod
        let path: String
        let type: String?
        let status: UInt
        /// Around the secret.
        let before: String
        let after: String
        /// So many bytes more stand before the secret.
        let padding: Int

        init(
            _ method: HTTPMethod = .POST, _ path: String = "credentials/anthropic/versions",
            _ type: String? = "application/json", _ status: UInt = 400, in before: String = "", _ after: String = "",
            padding: Int = 0
        ) {
            (self.method, self.path, self.type, self.status) = (method, path, type, status)
            (self.before, self.after, self.padding) = (before, after, padding)
        }

        var description: String { "\(method) \(path) as \(type ?? "-"): \(before)\(padding)\(after)" }
    }

    private static let octets = "application/octet-stream"
    private static let posts = [
        "revocations", "unblock", "keys/rotate", "rules/reload", "rules/test", "rules/replay",
        "credentials/anthropic/versions/1/promote", "credentials/anthropic/versions/1/retire",
    ]

    private static let sent: [Sent] =
        [
            Sent(), Sent(.POST, "credentials/anthropic/versions", nil), Sent(in: #"{"secret":""#, #""}"#),
            Sent(.POST, "credentials/An_thropic/versions", octets),
            Sent(.POST, "credentials/anthropic/nothing", octets, 404), Sent(.POST, "nothing", octets, 404),
            Sent(.PUT, "credentials/anthropic/versions", octets, 405), Sent(.GET, "credentials", octets),
            Sent(.POST, "credentials/anthropic/versions", octets, 413, padding: 65_500),
            Sent(.POST, "revocations", "application/json", 413, in: #"{"secret":""#, #""}"#, padding: 17_000),
            Sent(in: "{", padding: 30_000),
        ]
        + posts.flatMap { path in
            [
                Sent(.POST, path, octets), Sent(.POST, path),
                Sent(.POST, path, in: #"{"secret":""#, #""}"#),
                Sent(.POST, path, in: #"{"type":"service_account","private_key":"\n"#, #""}"#, padding: 3000),
            ]
        }

    /// In one piece, or in many.
    @Test(arguments: [false, true]) func `stays nowhere in the broker's memory`(_ inPieces: Bool) async throws {
        let stage = try await AdministeredGrants()
        let socket = stage.broker.workspace.path("run/admin.sock")
        let origin = "http+unix://\(socket.split(separator: "/").reduce("") { "\($0)%2F\($1)" })/admin/v1/"
        for sent in Self.sent {
            let secret = "sk-ant-api03-" + (0..<24).map { _ in String(UInt8.random(in: 16...255), radix: 16) }.joined()
            let text = sent.before + String(repeating: "x", count: sent.padding) + secret + sent.after
            var request = HTTPClientRequest(url: origin + sent.path)
            request.method = sent.method
            request.headers = ["Connection": "close"]
            if let type = sent.type { request.headers.add(name: "Content-Type", value: type) }
            if inPieces {
                let bytes = Array(text.utf8)
                let parts = stride(from: 0, to: bytes.count, by: 2000).map {
                    ByteBuffer(bytes: bytes[$0..<min($0 + 2000, bytes.count)])
                }
                request.body = .stream(
                    AsyncStream<ByteBuffer> { stream in
                        for part in parts { stream.yield(part) }
                        stream.finish()
                    }, length: .unknown)
            } else {
                request.body = .bytes(ByteBuffer(string: text))
            }
            let answer = try await HTTPClient.shared.execute(request, timeout: .seconds(20))
            let body = String(buffer: try await answer.body.collect(upTo: 65_536))
            #expect(answer.status.code == sent.status, "\(sent): \(answer.status) \(body)")
            #expect(!body.contains(secret.dropFirst(13)), "\(sent): \(body)")
            #expect(try await ProcessMemory.count(secret, in: stage.broker) == 0, "\(sent)")
        }
        #expect(!stage.broker.process.error.contains("sk-ant-api03-"))
    }
}
