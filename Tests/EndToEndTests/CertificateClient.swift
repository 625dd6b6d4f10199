import BrokerTesting
import Foundation
import JOSE
import NIOHTTP1
import Testing

/// `Tests/Peers/mtls-client.py`: clients with certificates whose connections stay open.
final class CertificateClient: HTTPOrigin {
    struct Answer: Sendable {
        /// Nil where there was no answer.
        let status: Int?
        let headers: [(name: String, value: String)]
        let body: String
        /// Why there was none.
        let failure: String
        /// The client's own: another connection has another one.
        let port: Int
        let serverCertificate: String

        var json: JSONObject { (try? JSONReader.readObject(Array(body.utf8))) ?? [:] }

        func text(_ name: ExactString) -> String? { json[name]?.string?.string }

        func header(_ name: String) -> String? {
            headers.first { $0.name.lowercased() == name.lowercased() }?.value
        }
    }

    let origin: String
    private let folder: Workspace
    private let target: Int
    private let authority: String
    private let process: RunningProcess

    /// - Parameters:
    ///   - port: of localhost, to which it connects.
    ///   - authority: the file with the root that the server's certificate is checked against.
    init(of workspace: Workspace, port: Int, authority: String = "root.pem") async throws {
        let own = try Workspace.freePort()
        let script = Programs.repository.appending(path: "Tests/Peers/mtls-client.py").path(percentEncoded: false)
        (folder, target, self.authority) = (workspace, port, authority)
        origin = "http://127.0.0.1:\(own)"
        process = try RunningProcess(try #require(Programs.python), [script, "\(own)"])
        try await waitUntil("the client listens") {
            try #require(process.isRunning, "\(process.error)")
            return (try? await send(.GET, "/")) != nil
        }
    }

    convenience init(of broker: SecureBroker) async throws {
        try await self.init(of: broker.workspace, port: broker.port)
    }

    /// Sends one request.
    /// - Parameters:
    ///   - who: the certificate is `who.pem`, its key `who.key`; nil has none.
    ///   - connection: its name. It is opened with the first request, and never again; nil is a new one.
    ///   - version: of TLS, at most.
    func request(
        as who: String?, _ method: String, _ path: String, _ headers: [(String, String)] = [], body: String = "",
        over connection: String? = nil, version: String = "1.3"
    ) async throws -> Answer {
        let fields = headers.map { JSONValue.array([.string(ExactString($0)), .string(ExactString($1))]) }
        var wanted: [(ExactString, JSONValue)] = [
            ("connection", .string(ExactString(connection ?? UUID().uuidString))),
            ("method", .string(ExactString(method))), ("path", .string(ExactString(path))), ("headers", .array(fields)),
            ("body", .string(ExactString(body))), ("port", .number(Double(target))),
            ("authority", .string(ExactString(folder.path(authority)))), ("version", .string(ExactString(version))),
        ]
        if let who {
            wanted.append(("certificate", .string(ExactString(folder.path("\(who).pem")))))
            wanted.append(("key", .string(ExactString(folder.path("\(who).key")))))
        }
        let text = String(decoding: JSONObject(uniqueMembers: wanted).encoded(), as: UTF8.self)
        let answer = try await send(.POST, "/", body: text).json
        let pairs = answer["headers"]?.array?.compactMap { $0.array?.compactMap { $0.string?.string } } ?? []
        return Answer(
            status: answer["status"]?.number.map { Int($0) },
            headers: pairs.filter { $0.count == 2 }.map { ($0[0], $0[1]) },
            body: answer["body"]?.string?.string ?? "", failure: answer["failure"]?.string?.string ?? "",
            port: Int(answer["port"]?.number ?? 0), serverCertificate: answer["server"]?.string?.string ?? "")
    }

    /// A form to the token endpoint: by default `client_credentials`.
    func token(
        as who: String?, _ parameters: [(String, String)] = [("grant_type", "client_credentials")],
        over connection: String? = nil, version: String = "1.3"
    ) async throws -> Answer {
        let type = ("Content-Type", "application/x-www-form-urlencoded")
        return try await request(
            as: who, "POST", "/oauth/token", [type], body: Self.form(parameters), over: connection, version: version)
    }

    /// The exchange of a subject token.
    func exchange(
        _ token: String, type: String = "jwt", as who: String?, scope: String = ""
    ) async throws -> Answer {
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"), ("subject_token", token),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:\(type)"), ("scope", scope),
        ]
        return try await self.token(as: who, form)
    }

    func verify(
        _ token: String, as who: String?, in header: String = "Authorization", _ more: [(String, String)] = [],
        over connection: String? = nil
    ) async throws -> Answer {
        let value = header == "Authorization" ? "Bearer \(token)" : token
        return try await request(
            as: who, "GET", "/verify?scope=anthropic:messages", [(header, value)] + more, over: connection)
    }
}
