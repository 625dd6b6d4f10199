import Broker
import FoundationEssentials
import HTTPTypes
import Hummingbird
import JOSE
import NIOCore

/// Everything below `/admin/v1`. Who asks is checked before what: only then is anything said about routes.
struct AdministrationRoutes: HTTPResponder {
    typealias Context = BrokerRequestContext

    static let maximumBodyLength = 16 * 1024
    private static let prefix = "/admin/v1/"

    let administration: Administration
    let access: AdministrationAccess
    let clock: any BrokerClock

    func respond(to request: Request, context: BrokerRequestContext) async throws -> Response {
        var response: Response
        var isRead = false
        do throws(AdministrationError) {
            let administrator = try await access.administrator(request, context)
            let operation = try Self.operation(request.uri.path, request.method)
            for scope in operation.scopes { try access.require(scope, of: administrator, context) }
            isRead = true
            response = try await perform(operation, request, administrator, context)
        } catch {
            if !isRead { await takeUnread(request.body) }
            response = error.response(trace: context.trace)
        }
        response.headers[.daypassTraceID] = context.trace.description
        response.headers[.cacheControl] = "no-store"
        if access.isForOneRequest { response.headers[.connection] = "close" }
        return request.method == .head ? response.createHeadResponse() : response
    }

    /// What a method and a path ask for.
    enum Operation: Equatable {
        case keys, rotate
        case activate(ExactString)
        case sessions
        case session(ExactString)
        case revocations, revoke, unblock
        case revocation(UInt64)
        case issuers, reload
        case credentials(CredentialOperation)
        case rules(RuleOperation)
        case verifyAudit, auditHashes
        case audit, exportAudit
        case explain(TraceID)

        /// All of them are needed.
        var scopes: [AdministrationScope] {
            if case .rules(let operation) = self { operation.scopes } else { [scope] }
        }

        private var scope: AdministrationScope {
            switch self {
            case .keys, .rotate, .activate: .keys
            case .sessions, .session: .sessions
            case .revocations, .revoke, .revocation: .revoke
            // Who may only take away cannot give back.
            case .unblock: .admin
            case .issuers: .issuers
            case .reload, .rules: .rules
            case .credentials: .credentials
            case .verifyAudit, .auditHashes: .audit
            case .audit, .exportAudit, .explain: .audit
            }
        }

        /// The parameters that its query may have.
        var parameters: [ExactString] {
            switch self {
            case .sessions: ["subject", "rule", "issuer", "claim", "email", "signed_in", "cursor", "limit"]
            case .revocations: ["cursor", "limit"]
            case .credentials(let operation): operation.parameters
            case .rules(let operation): operation.parameters
            case .verifyAudit: ["after"]
            case .auditHashes: ["after", "limit"]
            case .audit: AdministrationAPI.auditParameters + ["cursor", "limit"]
            case .exportAudit: AdministrationAPI.auditParameters + ["after", "limit"]
            default: []
            }
        }

        /// In bytes.
        var maximumBodyLength: Int {
            if case .rules(let operation) = self {
                operation.maximumBodyLength
            } else {
                AdministrationRoutes.maximumBodyLength
            }
        }
    }

    static func operation(
        _ path: String, _ method: HTTPRequest.Method
    ) throws(AdministrationError) -> Operation {
        guard path.hasPrefix(prefix) else { throw .notFound }
        let parts = path.dropFirst(prefix.count).split(separator: "/", omittingEmptySubsequences: false)
            .map { ExactString(String($0)) }
        let operations: [HTTPRequest.Method: Operation]
        switch parts.count {
        case 1... where parts[0] == "credentials":
            operations = try CredentialOperation.operations(parts.dropFirst()).mapValues { .credentials($0) }
        case 1 where parts[0] == "keys": operations = [.get: .keys]
        case 1 where parts[0] == "sessions": operations = [.get: .sessions]
        case 1 where parts[0] == "revocations": operations = [.get: .revocations, .post: .revoke]
        case 1 where parts[0] == "unblock": operations = [.post: .unblock]
        case 1 where parts[0] == "issuers": operations = [.get: .issuers]
        case 2 where parts[0] == "audit" && parts[1] == "verify": operations = [.get: .verifyAudit]
        case 2 where parts[0] == "audit" && parts[1] == "hashes": operations = [.get: .auditHashes]
        case 2 where parts[0] == "keys" && parts[1] == "rotate": operations = [.post: .rotate]
        case 2 where parts[0] == "rules" && parts[1] == "reload": operations = [.post: .reload]
        case 1...2 where parts[0] == "rules": operations = try RuleOperation.operations(parts.dropFirst())
        case 2 where parts[0] == "sessions" && isIdentifier(parts[1]): operations = [.get: .session(parts[1])]
        case 1 where parts[0] == "audit": operations = [.get: .audit]
        case 2 where parts[0] == "audit" && parts[1] == "export": operations = [.get: .exportAudit]
        case 2 where parts[0] == "explain":
            guard let trace = TraceID(parsing: parts[1].string) else { throw .invalid(TraceID.form) }
            operations = [.get: .explain(trace)]
        case 2 where parts[0] == "revocations":
            guard let number = UInt64(parts[1].string), String(number) == parts[1].string else { throw .notFound }
            operations = [.get: .revocation(number)]
        case 3 where parts[0] == "keys" && parts[2] == "activate" && isIdentifier(parts[1]):
            operations = [.post: .activate(parts[1])]
        default: throw .notFound
        }
        guard let operation = operations[method] else {
            throw .methodNotAllowed(operations.keys.map(\.rawValue).sorted().joined(separator: ", "))
        }
        return operation
    }

    private static func isIdentifier(_ text: ExactString) -> Bool {
        text.utf8.count <= 128 && AdministrationAPI.isIdentifier(text)
    }

    private func perform(
        _ operation: Operation, _ request: Request, _ administrator: AdministrationAccess.Administrator,
        _ context: BrokerRequestContext
    ) async throws(AdministrationError) -> Response {
        let query = try AdministrationQuery(request.uri.query, operation.parameters)
        let act = AdministrativeContext(caller: administrator.caller, trace: context.trace)
        if case .credentials(let operation) = operation { return try await answer(operation, request, query, act) }
        var body = try await body(of: request, upTo: operation.maximumBodyLength)
        // It may be a secret that somebody has sent to the wrong route.
        defer { body.wipe() }
        do throws(AdministrationFailure) {
            switch operation {
            case .keys, .rotate, .activate: return try await answer(operation, body, act)
            case .revocations, .revoke, .revocation, .unblock:
                return try await answer(operation, body, query, administrator, act)
            case .sessions:
                let page = try await administration.sessions.sessions(try query.filter(), try query.page())
                return .json(.ok, page.json("sessions", \.json))
            case .session(let id):
                guard let session = try await administration.sessions.session(id) else {
                    throw .notFound("there is no session \(id)")
                }
                return .json(.ok, session.fullJSON)
            case .issuers:
                let list = AdministrationAPI.Page(administration.issuers.statuses())
                return .json(.ok, list.json("issuers", \.json))
            case .rules(let operation): return try await answer(operation, body, query)
            case .reload:
                let isRehearsal = try AdministrationAPI.flags(body, ["dry_run"]).contains("dry_run")
                return .json(.ok, try await administration.rules.reload(isRehearsal: isRehearsal, act).json)
            case .credentials: throw .notFound("there is no such route")
            case .verifyAudit: return try await AuditChainRoutes(chain: administration.chain).verify(query)
            case .auditHashes: return try await AuditChainRoutes(chain: administration.chain).hashes(query)
            case .audit: return try await AuditRoutes(trail: administration.trail).search(query)
            case .exportAudit: return try await AuditRoutes(trail: administration.trail).export(query)
            case .explain(let trace):
                return .json(.ok, try await administration.decisions.decision(trace).json)
            }
        } catch {
            throw AdministrationError(error)
        }
    }

    /// Waits for the body of a request that is refused before anybody looks at it: what comes behind the answer, the TLS
    /// library may throw away while it closes the connection, and a secret in it would stay in memory. How long and how
    /// much that may be the connection bounds.
    private func takeUnread(_ body: RequestBody) async {
        do {
            for try await part in body { part.wipe() }
        } catch {
            // It was cut off, or too slow: there is no more of it.
        }
    }

    /// A body is JSON and says so; where none is needed none has to be there.
    func body(of request: Request, upTo limit: Int) async throws(AdministrationError) -> [UInt8] {
        let declared = request.headers[.contentLength].flatMap { Int($0) }
        var bytes: [UInt8] = []
        do throws(AdministrationError) {
            try await read(request.body, into: &bytes, capacity: min(max(declared ?? limit, 0), limit), upTo: limit)
            guard !bytes.isEmpty else { return bytes }
            guard request.method == .post else { throw .invalid("a request without effect has no body") }
            let type = request.headers[.contentType].map { String($0.prefix { $0 != ";" && $0 != " " }) }
            guard type?.lowercased() == "application/json" else {
                throw .invalid("the body has to be application/json")
            }
            return bytes
        } catch {
            bytes.wipe()
            throw error
        }
    }

    /// The parts of the body are wiped with its answer.
    private func read(
        _ body: RequestBody, into bytes: inout [UInt8], capacity: Int, upTo limit: Int
    ) async throws(AdministrationError) {
        do {
            for try await part in body {
                // All at once: where an array grows, what it had stays behind.
                if bytes.isEmpty { bytes.reserveCapacity(capacity) }
                guard bytes.count + part.readableBytes <= limit else { throw AdministrationError.tooLong(limit) }
                bytes += part.readableBytesView
            }
        } catch let error as AdministrationError {
            throw error
        } catch is RequestTimeout {
            throw .bodyTooSlow
        } catch {
            throw .invalid("the body was cut off")
        }
    }
}

extension AdministrationRoutes {
    private func answer(
        _ operation: Operation, _ body: [UInt8], _ act: AdministrativeContext
    ) async throws(AdministrationFailure) -> Response {
        let keys = administration.keys
        switch operation {
        case .rotate:
            let force = try AdministrationAPI.flags(body, ["force"]).contains("force")
            return .json(.ok, try await keys.rotate(force: force, act).json)
        case .activate(let keyID):
            _ = try AdministrationAPI.flags(body, [])
            return .json(.ok, try await keys.activate(keyID, act).json)
        default:
            return .json(.ok, AdministrationAPI.Page(try await keys.keys()).json("keys", \.json))
        }
    }

    private func answer(
        _ operation: Operation, _ body: [UInt8], _ query: AdministrationQuery,
        _ administrator: AdministrationAccess.Administrator, _ act: AdministrativeContext
    ) async throws(AdministrationFailure) -> Response {
        let revocations = administration.revocations
        switch operation {
        case .revocation(let sequence):
            guard let revocation = try await revocations.revocation(sequence) else {
                throw .notFound("there is no live revocation \(sequence)")
            }
            return .json(.ok, revocation.json.adding(await revocations.reach(of: sequence).json))
        case .revoke:
            let (order, isDryRun) = try AdministrationAPI.RevocationOrder.parse(body, at: clock.now)
            guard !isDryRun else {
                var preview = try await preview(order)
                // Who may end sessions need not be one who may read them.
                if !administrator.may(.sessions) { preview.sessions = [] }
                return .json(.ok, preview.json)
            }
            let result = try await revoke(order, act)
            guard let last = result.revocations.last else { return answer(result, result.json, act) }
            return answer(result, result.json.adding(await revocations.reach(of: last.sequence).json), act)
        case .unblock:
            let (order, isDryRun) = try AdministrationAPI.RevocationOrder.parseLifting(body)
            let lift = isDryRun ? try await revocations.previewLifting(order) : try await revocations.lift(order, act)
            return .json(.ok, lift.json(isDryRun: isDryRun))
        default:
            return .json(.ok, try await revocations.revocations(try query.page()).json("revocations", \.json))
        }
    }

    private func preview(
        _ order: AdministrationAPI.RevocationOrder
    ) async throws(AdministrationFailure) -> AdministrationAPI.RevocationPreview {
        // As revoking it would.
        if order.kind == .key, case .value(let keyID) = order.what {
            let keys = try await administration.keys.keys()
            guard keys.contains(where: { $0.keyID == keyID }) else {
                throw .notFound("there is no signing key \(keyID)")
            }
        }
        return try await administration.revocations.preview(order)
    }

    private func revoke(
        _ order: AdministrationAPI.RevocationOrder, _ act: AdministrativeContext
    ) async throws(AdministrationFailure) -> AdministrationAPI.RevocationResult {
        if order.kind == .key, case .value(let keyID) = order.what {
            return try await administration.keys.revoke(keyID, reason: order.reason, act)
        }
        return try await administration.revocations.revoke(order, act)
    }

    /// What is in force and not yet recorded is 503: whoever asks again learns when it is.
    private func answer(
        _ result: AdministrationAPI.RevocationResult, _ members: JSONObject, _ act: AdministrativeContext
    ) -> Response {
        guard !result.isDurable else { return .json(.ok, members) }
        var json = AdministrationError.body(
            "not_durable", "in force on this node, and not yet recorded: the broker goes on trying", act.trace)
        for member in members.members { _ = json.append(member.name, member.value) }
        var response = Response.json(.serviceUnavailable, json)
        response.headers[.retryAfter] = "1"
        return response
    }
}

extension JSONObject {
    fileprivate func adding(_ more: JSONObject) -> JSONObject {
        var all = self
        for member in more.members { _ = all.append(member.name, member.value) }
        return all
    }
}
