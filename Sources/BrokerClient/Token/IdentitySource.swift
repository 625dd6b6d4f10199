import Glibc

/// Fetches the proof of an identity, for one audience.
package struct IdentitySource: ProofSource {
    static let gitlabVariable = "DAYPASS_ID_TOKEN"

    private let identity: Identity
    private let audience: String
    private let environment: [String: String]
    private let http = BoundedHTTP()

    /// - Parameter audience: what the broker expects in `aud`.
    package init(_ identity: Identity, audience: String, environment: [String: String]) {
        self.identity = identity
        self.audience = audience
        self.environment = environment
    }

    /// The projected token (`serviceAccountToken` with the broker's audience). Not that of the pod's own service account,
    /// whose audience is the cluster.
    static func kubernetesFile(_ environment: [String: String]) -> String {
        environment["DAYPASS_KUBERNETES_TOKEN_FILE"].flatMap { $0.isEmpty ? nil : $0 }
            ?? "/var/run/secrets/daypass/token"
    }

    package func proof(within time: Duration) async throws(TokenFailure) -> Proof {
        switch identity {
        case .github:
            let request = try GitHubTokenRequest(environment)
            let token = try await request.token(audience: audience, over: http, within: time)
            return .identityToken(token)
        case .buildkite:
            let arguments = ["oidc", "request-token", "--audience", audience]
            let token = try ProgramToken.token("buildkite-agent", arguments, environment, within: time)
            return .identityToken(token)
        case .circleci:
            let arguments = ["run", "oidc", "get", "--claims", try Self.claims(audience)]
            let token = try ProgramToken.token("circleci", arguments, environment, within: time)
            return .identityToken(token)
        case .certificate: return .certificate
        case .login: return .signIn
        case .gitlab, .kubernetes, .file, .variable:
            let token = try heldToken()
            return .identityToken(token)
        }
    }

    private static func claims(_ audience: String) throws(TokenFailure) -> String {
        guard let json = try? JSON.object(["aud": .string(audience)]).encoded() else {
            throw .unusable("the audience cannot be written as JSON")
        }
        return String(decoding: json, as: UTF8.self)
    }

    /// What tells what this proof is exchanged for apart from others'.
    /// - Returns: nil where nothing does: it must not be kept.
    package func distinction() throws(TokenFailure) -> Distinction? {
        let job = ContinuousIntegrationJob(in: environment)
        guard job != .unknown else { return nil }
        switch identity {
        case .github:
            let request = try GitHubTokenRequest(environment)
            return Distinction(key: "github:\(request.secret.digest)", job)
        case .buildkite, .circleci:
            // Nothing that is at hand is theirs alone.
            guard case .known = job else { return nil }
            return Distinction(key: identity == .buildkite ? "buildkite" : "circleci", job)
        case .gitlab, .variable:
            let token = try heldToken()
            return Distinction(key: "token:\(token.digest)", job)
        case .kubernetes, .file:
            let path = identity == .kubernetes ? Self.kubernetesFile(environment) : name
            guard job == .none else {
                let token = try heldToken()
                return Distinction(key: "token:\(token.digest)", job)
            }
            // A file is the same identity when it is written anew.
            let token = try? heldToken()
            return Distinction(
                key: "file:\(Self.absolute(path))", job, proof: token.map { .digest($0.digest) } ?? .unreadable)
        case .certificate(let chain, let key):
            // A token may be bound to the certificate, and another one is another identity.
            let bytes = try SmallFile.read(chain)
            return Distinction(key: "x509:\(Fingerprint.hexadecimal(of: bytes)):\(key)", job)
        // That of a broker: see `SignedInBroker`.
        case .login: return nil
        }
    }

    private var name: String {
        if case .file(let path) = identity { path } else { "" }
    }

    private static func absolute(_ path: String) -> String {
        guard !path.hasPrefix("/"), let folder = getcwd(nil, 0) else { return path }
        defer { free(folder) }
        return "\(String(cString: folder))/\(path)"
    }

    private func set(_ name: String) -> String? {
        environment[name].flatMap { $0.isEmpty ? nil : $0 }
    }

    /// The token that somebody has put into a variable or a file.
    private func heldToken() throws(TokenFailure) -> TokenText {
        switch identity {
        case .gitlab:
            return try token(in: Self.gitlabVariable, hint: "; the job needs `id_tokens: {DAYPASS_ID_TOKEN: {aud: …}}`")
        case .variable(let name): return try token(in: name, hint: "")
        case .kubernetes: return try token(inFile: Self.kubernetesFile(environment))
        case .file(let path): return try token(inFile: path)
        case .github, .buildkite, .circleci, .certificate, .login:
            throw .unusable("a proof of \(identity.name) is asked for, and stands nowhere")
        }
    }

    private func token(in name: String, hint: String) throws(TokenFailure) -> TokenText {
        guard let text = set(name) else { throw .noIdentity("the variable \(name) is not set\(hint)") }
        guard let token = TokenText(text.trimmingLineEnd()) else {
            throw .noIdentity("the variable \(name) is no token")
        }
        return token
    }

    private func token(inFile path: String) throws(TokenFailure) -> TokenText {
        let bytes = try SmallFile.read(path)
        guard let token = TokenText(String(decoding: bytes, as: UTF8.self).trimmingLineEnd()) else {
            throw .noIdentity("\(path) holds no token")
        }
        return token
    }
}

extension String {
    /// Without the line end that `echo` and editors add.
    func trimmingLineEnd() -> Substring {
        var text = self[...]
        if text.utf8.last == UInt8(ascii: "\n") { text = Substring(text.utf8.dropLast()) }
        if text.utf8.last == UInt8(ascii: "\r") { text = Substring(text.utf8.dropLast()) }
        return text
    }
}

/// A file that is read whole, of at most 64 KiB where nothing else is said.
enum SmallFile {
    static let maximumLength = 64 * 1024

    static func read(_ path: String, atMost limit: Int = maximumLength) throws(TokenFailure) -> [UInt8] {
        // Neither waits for the writer of a named pipe nor makes a terminal its own.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
        guard descriptor >= 0 else { throw .noIdentity("\(path): \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        return try read(descriptor, path, limit)
    }

    private static func read(_ descriptor: CInt, _ path: String, _ limit: Int) throws(TokenFailure) -> [UInt8] {
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw .noIdentity("\(path): it is no file")
        }
        var bytes = [UInt8](repeating: 0, count: limit + 1)
        var count = 0
        while count < bytes.count {
            let read = bytes.withUnsafeMutableBytes { bytes in
                let room = UnsafeMutableRawBufferPointer(rebasing: bytes[count...])
                return Glibc.read(descriptor, room.baseAddress, room.count)
            }
            if read < 0, errno == EINTR { continue }
            guard read >= 0 else { throw .noIdentity("\(path): \(String(cString: strerror(errno)))") }
            if read == 0 { return Array(bytes.prefix(count)) }
            count += read
        }
        throw .noIdentity("\(path): it has more than \(limit) bytes")
    }
}

/// What tells a kept token apart from others.
package struct Distinction: Sendable, Hashable {
    /// What it was exchanged for.
    package enum Proof: Sendable, Hashable {
        /// Told by the key.
        case inKey
        /// What there is now: a token for another one is renewed.
        case digest(String)
        /// There is none now.
        case unreadable
    }

    package let key: String
    package let proof: Proof

    init(key: String, _ job: ContinuousIntegrationJob, proof: Proof = .inKey) {
        if case .known(let id) = job { self.key = "\(key):job:\(id)" } else { self.key = key }
        self.proof = proof
    }
}
