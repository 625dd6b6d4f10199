import FoundationEssentials
import NIOHTTP1

/// Exchanges proofs at a broker's public listener (`POST /oauth/token`), and asks it what tokens are worth (`/verify`).
package struct TokenExchangeClient: TokenEndpoint {
    let origin: String
    let scope: String?
    private let rule: String?
    private let federation: FederationCall?
    let http: BoundedHTTP

    /// - Parameters:
    ///   - origin: as `BrokerAddress.origin(parsing:)` returns it.
    ///   - scope: what is asked for, space separated; nil is all that the rule grants.
    ///   - authorities: a PEM file; the system's where it is nil.
    ///   - certificate: PEM files of the client's own.
    package init(
        _ origin: String, scope: String?, rule: String?, authorities: String?,
        certificate: (chain: String, key: String)?
    ) {
        (self.origin, self.scope, self.rule, federation) = (origin, scope, rule, nil)
        http = BoundedHTTP(.init(authorities: authorities, certificate: certificate))
    }

    /// Exchanges identity tokens as Anthropic's clients do, at whatever passes `/v1/oauth/token` on to the broker.
    /// - Parameter gateway: an origin, with a path or not, without a slash at its end.
    package init(_ gateway: String, _ federation: FederationCall, authorities: String?) {
        (origin, scope, rule, self.federation) = (gateway, nil, nil, federation)
        http = BoundedHTTP(.init(authorities: authorities, certificate: nil))
    }

    package func exchange(_ proof: Proof, within time: Duration) async throws(TokenFailure) -> IssuedToken {
        var request = BoundedHTTP.Request(url: "\(origin)\(federation == nil ? "/oauth/token" : "/v1/oauth/token")")
        request.method = .POST
        request.headers.add(name: "Accept", value: "application/json")
        if let federation {
            request.headers.add(name: "Content-Type", value: "application/json")
            request.body = try federation.body(proof)
        } else {
            guard proof != .signIn else { throw .unusable("a sign-in is used where it is kept") }
            request.headers.add(name: "Content-Type", value: "application/x-www-form-urlencoded")
            request.body = Self.encoded(form(proof))
        }
        let answer = try await http.send(request, within: time)
        guard answer.status == 200 else { throw failure(answer, proof.secrets) }
        return try issued(answer)
    }

    static func encoded(_ form: [(String, String)]) -> String {
        form.map { "\(AdministrationClient.encode($0))=\(AdministrationClient.encode($1))" }.joined(separator: "&")
    }

    private func form(_ proof: Proof) -> [(String, String)] {
        let exchange = ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange")
        let type = "urn:ietf:params:oauth:token-type:"
        let wanted = scope.map { [("scope", $0)] } ?? []
        let named = wanted + (rule.map { [("rule", $0)] } ?? [])
        switch proof {
        case .identityToken(let token):
            return [exchange, ("subject_token", token.reveal()), ("subject_token_type", "\(type)jwt")] + named
        case .certificate: return [("grant_type", "client_credentials")] + named
        case .signIn: return []
        // It keeps its scope and its rule: less of either would be a session below.
        case .gatewayToken(let token):
            return [exchange, ("subject_token", token.reveal()), ("subject_token_type", "\(type)access_token")]
        }
    }

    func issued(_ answer: BoundedHTTP.Answer) throws(TokenFailure) -> IssuedToken {
        let json = try json(answer)
        guard let token = json["access_token"]?.text.flatMap({ TokenText($0) }),
            json["token_type"]?.text?.lowercased() == "bearer", let lifetime = json["expires_in"]?.count,
            let scope = json["scope"]?.text, scope.utf8.count <= 4096,
            case let session = json["session_id"]?.text ?? "", session.utf8.count <= 256
        else { throw .unreadable("\(origin): the answer has no token, or not what belongs to one") }
        guard (1...86_400).contains(lifetime) else {
            throw .unreadable(
                lifetime <= 0
                    ? "\(origin) answers with a token that has ended already: see the broker's clock"
                    : "\(origin) answers with a token that lasts for more than a day")
        }
        return IssuedToken(
            token: token, scope: scope, session: session, lifetime: lifetime)
    }

    /// Of a broker's answers, with room for more than they have.
    private static let depth = 8

    func json(_ answer: BoundedHTTP.Answer) throws(TokenFailure) -> JSON {
        guard answer.type == "application/json", let json = try? JSON(parsing: answer.body, depth: Self.depth),
            case .object = json
        else {
            let type = answer.type.isEmpty ? "no JSON" : TokenText.hidden(in: String(answer.type.prefix(60)))
            throw .unreadable(
                "\(origin) answers \(answer.status) with \(type): it is no broker, or something else answers for it")
        }
        return json
    }

    /// - Parameter secrets: what was sent, and must not be repeated.
    func failure(_ answer: BoundedHTTP.Answer, _ secrets: [TokenText]) -> TokenFailure {
        let description = (try? json(answer))?["error_description"]?.text
        let words = description.map { TokenText.hidden(in: $0, secrets) }
        switch answer.status {
        case 429, 503:
            return .overloaded(
                "\(origin) answers \(answer.status): \(words ?? "it cannot answer at the moment")", after: answer.pause)
        case 500...599: return .unreachable("\(origin) answers \(answer.status)")
        default:
            guard let words else {
                if answer.type == "application/json" {
                    return .unreadable("\(origin) answers \(answer.status): is it the broker's public address?")
                }
                return unreadable(answer)
            }
            return .refused("\(origin) refuses: \(words)")
        }
    }

    private func unreadable(_ answer: BoundedHTTP.Answer) -> TokenFailure {
        do throws(TokenFailure) {
            _ = try json(answer)
            return .unreadable("\(origin) answers \(answer.status)")
        } catch {
            return error
        }
    }

    package func check(_ token: TokenText, scope: String, within time: Duration) async -> TokenCheck {
        let one = scope.prefix { $0 != " " }
        var request = BoundedHTTP.Request(url: "\(origin)/verify?scope=\(AdministrationClient.encode(String(one)))")
        request.headers.add(name: "Authorization", value: "Bearer \(token.reveal())")
        guard let answer = try? await http.send(request, within: time) else { return .unknown }
        switch answer.status {
        // 403: of models, or of a scope that nobody asked for here, and not of the token.
        case 200, 403: return .good
        case 401: return .bad
        default: return .unknown
        }
    }
}

extension Proof {
    fileprivate var secrets: [TokenText] {
        switch self {
        case .identityToken(let token), .gatewayToken(let token): [token]
        case .certificate, .signIn: []
        }
    }
}
