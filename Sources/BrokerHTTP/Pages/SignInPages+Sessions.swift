import Broker
import HTTPTypes
import Hummingbird
import JOSE

// `GET` and `POST /sessions`: people see where they are signed in, and end it.
extension SignInPages {
    /// What a form stands for whose sender is not signed in yet. No code looks like it, and no person's.
    private static let nobody = "sessions"

    private static func subject(of visit: BrowserBinding.Visit) -> String { "\(nobody) \(visit.subject)" }

    private func visit(_ request: Request) -> BrowserBinding.Visit? {
        guard let browser = browser(request), let sealed = cookies.value(.visit, in: request.headers) else {
            return nil
        }
        guard let visit = binding.visit(sealed, of: browser, at: clock.uptime), place.left.value(of: visit.id) == nil,
            !signIn().isSignedOut(
                visit.subject, providerSession: visit.providerSession, of: provider.name, since: visit.begun)
        else { return nil }
        return visit
    }

    func visited(_ request: Request, _ context: BrokerRequestContext) async -> Response {
        guard let visit = visit(request) else { return invitation(request, nil) }
        do throws(OAuthError) {
            try limits.admit(.exchange, context)
        } catch {
            return Self.busy(context.trace).response()
        }
        return await underWay(.exchange, context) { await show(visit, nil, context) }
    }

    /// Nobody is sent to the provider by a link alone.
    private func invitation(_ request: Request, _ notice: SessionNotice?) -> Response {
        page(request) { browser in
            Self.invitation(
                proof: binding.proof(of: Self.nobody, browser: browser), provider: provider.name, notice)
        }
    }

    private func show(
        _ visit: BrowserBinding.Visit, _ notice: SessionNotice?, _ context: BrokerRequestContext
    ) async -> Response {
        let sessions: [OwnSession]
        do {
            sessions = try await signIn().ownSessions(of: provider.name, subject: visit.subject)
        } catch {
            note("sessions could not be read", "\(error)", context)
            return Self.unavailable(context.trace, .sessions).response()
        }
        let proof = binding.proof(of: Self.subject(of: visit), browser: visit.browser)
        return Self.sessions(sessions, of: visit.person, proof: proof, notice, at: clock.now).response()
    }

    /// What somebody chose on that page.
    func chosen(_ form: FormBody, _ request: Request, _ context: BrokerRequestContext) async -> Response {
        let browser = browser(request)
        if form["step"] == "sign-in" {
            guard let browser, binding.isProof(form["form"], of: Self.nobody, browser: browser) else {
                return invitation(request, .oldForm)
            }
            return await underWay(.provider, context) { await leave(for: .sessions, browser, request, context) }
        }
        guard let visit = visit(request) else { return invitation(request, .visitOver) }
        // Also of a form of the one who was signed in here before.
        guard binding.isProof(form["form"], of: Self.subject(of: visit), browser: browser) else {
            return await underWay(.exchange, context) { await show(visit, .oldForm, context) }
        }
        switch form["step"] {
        case "end":
            // Without one it ends none: that is a wish of its own.
            return await underWay(.exchange, context) { await end(form["session"] ?? "", visit, context) }
        case "end-all": return await underWay(.exchange, context) { await end(nil, visit, context) }
        case "leave":
            let now = clock.uptime
            _ = place.left.remember((), of: visit.id, until: visit.end, for: context.client, at: now)
            return Self.left.response(cookies: [cookies.clearing(.visit)])
        default: return Self.foreign(context.trace).response()
        }
    }

    /// - Parameter session: nil for all of them.
    private func end(
        _ session: ExactString?, _ visit: BrowserBinding.Visit, _ context: BrokerRequestContext
    ) async -> Response {
        let count: Int
        do {
            count = try await signIn().endOwnSessions(
                session, of: provider.name, subject: visit.subject, under: context.trace)
        } catch {
            note("sessions could not be ended", "\(error)", context)
            return Self.unavailable(context.trace, .sessions).response()
        }
        return await show(visit, count == 0 ? .nothingToEnd : .ended(count), context)
    }
}
