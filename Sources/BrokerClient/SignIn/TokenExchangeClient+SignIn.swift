import NIOHTTP1

/// Signing in, staying so, and signing out (RFC 8628, RFC 6749 §6, RFC 7009), without a client's authentication.
extension TokenExchangeClient: DeviceEndpoint {
    /// - Parameter device: how the page names this machine.
    func begin(device: String, within time: Duration) async throws(TokenFailure) -> DeviceAuthorization {
        let form = [("client_id", "daypass"), ("surface", "daypass"), ("device_name", device)]
        let answer = try await post(form, to: "/oauth/device_authorization", within: time)
        guard answer.status == 200 else {
            if answer.status == 404 {
                throw .refused("\(origin) has no sign-in: is it the broker's address, and `sign_in` configured?")
            }
            throw failure(answer, [])
        }
        let json = try json(answer)
        guard let asked = DeviceAuthorization(json) else {
            throw .unreadable("\(origin): the answer is none to a device that asks to be signed in")
        }
        return asked
    }

    package func poll(_ code: TokenText, within time: Duration) async throws(TokenFailure) -> DevicePoll {
        let form = [("grant_type", "urn:ietf:params:oauth:grant-type:device_code"), ("device_code", code.reveal())]
        let answer: BoundedHTTP.Answer
        do throws(TokenFailure) {
            answer = try await post(form, to: "/oauth/token", within: time)
        } catch {
            guard case .unreachable = error else { throw error }
            return .unanswered(error, after: .zero)
        }
        if answer.status == 200 {
            let granted = try granted(answer)
            return .granted(granted)
        }
        switch error(in: answer) {
        case "authorization_pending" where answer.status == 400: return .pending
        case "slow_down" where answer.status == 400 || answer.status == 429: return .slowDown
        case "access_denied":
            // By a person, the provider or the rules: the broker says which.
            let words = failure(answer, [code]).words
            throw .signedOut("the sign-in was denied (\(words))")
        case "expired_token":
            throw .signedOut(
                "the code is good no more: nobody approved in time, or the broker was started anew; `daypass login` makes "
                    + "another")
        // As after a restart.
        case "invalid_grant":
            throw .signedOut("\(origin) does not know the code any more: `daypass login` makes another")
        default: break
        }
        let failure = failure(answer, [code])
        switch failure {
        case .overloaded(_, let pause): return .unanswered(failure, after: pause)
        case .unreachable: return .unanswered(failure, after: .zero)
        default: throw failure
        }
    }

    /// - Throws: `signedOut` where the session has ended.
    func refresh(_ token: TokenText, within time: Duration) async throws(TokenFailure) -> GrantedSignIn {
        let wanted = scope.map { [("scope", $0)] } ?? []
        let form = [("grant_type", "refresh_token"), ("refresh_token", token.reveal())] + wanted
        let answer = try await post(form, to: "/oauth/token", within: time)
        guard answer.status == 200 else {
            let failure = failure(answer, [token])
            // RFC 6749 §5.2 has it as 400.
            guard answer.status == 401 || answer.status == 400, error(in: answer) == "invalid_grant" else {
                throw failure
            }
            throw .signedOut(
                "the session at \(origin) has ended; sign in again with `daypass login` (\(failure.words))")
        }
        return try granted(answer)
    }

    /// Ends the session. A token that is known to nobody is no failure (RFC 7009 §2.2).
    func revoke(_ token: TokenText, within time: Duration) async throws(TokenFailure) {
        let form = [("token", token.reveal()), ("token_type_hint", "refresh_token")]
        let answer = try await post(form, to: "/oauth/revoke", within: time)
        guard answer.status == 200 else { throw failure(answer, [token]) }
    }

    private func post(
        _ form: [(String, String)], to path: String, within time: Duration
    ) async throws(TokenFailure) -> BoundedHTTP.Answer {
        var request = BoundedHTTP.Request(url: "\(origin)\(path)")
        request.method = .POST
        request.headers.add(name: "Accept", value: "application/json")
        request.headers.add(name: "User-Agent", value: "daypass")
        request.headers.add(name: "Content-Type", value: "application/x-www-form-urlencoded")
        request.body = Self.encoded(form)
        return try await http.send(request, within: time)
    }

    private func error(in answer: BoundedHTTP.Answer) -> String? {
        (try? json(answer))?["error"]?.text
    }

    private func granted(_ answer: BoundedHTTP.Answer) throws(TokenFailure) -> GrantedSignIn {
        let issued = try issued(answer)
        let json = try json(answer)
        var refresh: TokenText?
        if let text = json["refresh_token"]?.text {
            guard let token = TokenText(text) else { throw .unreadable("\(origin): its refresh token is no token") }
            refresh = token
        }
        let email = json["email"]?.text.flatMap { (1...320).contains($0.utf8.count) ? $0 : nil }
        return GrantedSignIn(issued: issued, refresh: refresh, email: email)
    }
}

/// Who a gateway token is for, as the broker has it.
package struct TokenDescription: Sendable, Hashable {
    package let subject: String
    package let session: String
    package let rule: String
    package let scope: String
}

extension TokenExchangeClient {
    /// Asks `/verify`.
    /// - Parameter scope: of the token, space separated.
    package func describe(
        _ token: TokenText, scope: String, within time: Duration
    ) async throws(TokenFailure) -> TokenDescription {
        let one = String(scope.prefix { $0 != " " })
        var request = BoundedHTTP.Request(url: "\(origin)/verify?scope=\(AdministrationClient.encode(one))")
        request.headers.add(name: "Authorization", value: "Bearer \(token.reveal())")
        let answer = try await http.send(request, within: time)
        func header(_ name: String) -> String? { answer.headers.first(name: "Daypass-\(name)") }
        switch answer.status {
        case 200: break
        case 429, 503: throw .overloaded("\(origin) answers \(answer.status)", after: answer.pause)
        case 500...599: throw .unreachable("\(origin) answers \(answer.status)")
        default: throw .refused("\(origin) does not say whose token it is: it answers \(answer.status)")
        }
        guard let subject = header("Subject") else {
            throw .unreadable("\(origin) does not say whose token it is: it is no broker")
        }
        return TokenDescription(
            subject: subject, session: header("Session") ?? "", rule: header("Rule") ?? "",
            scope: header("Scope") ?? scope)
    }
}
