import Broker
import HTTPTypes
import Hummingbird
import JOSE

// To the company's provider and back.
extension SignInPages {
    /// A browser has so many sign-ins under way, each in a cookie of some hundred bytes; the oldest are forgotten.
    private static let maximumAttempts = 4

    /// Sends the browser away.
    func leave(
        for purpose: BrowserBinding.Purpose, _ browser: ExactString, _ request: Request,
        _ context: BrokerRequestContext
    ) async -> Response {
        let (url, attempt): (String, AuthorizationAttempt)
        do throws(ProviderFailure) {
            (url, attempt) = try await provider.begin()
        } catch {
            signIn().noteRefusal(.provider, "\(error)", from: context.client.text, under: context.trace)
            note("the identity provider cannot be asked", "\(error)", context)
            return Self.providerUnavailable(context.trace, way(back: purpose, browser)).response()
        }
        let now = clock.uptime
        let absence = BrowserBinding.Absence(
            attempt: attempt, purpose: purpose, browser: browser, end: now + BrowserBinding.life)
        do {
            let sealed = try binding.seal(absence)
            let tag = BrowserBinding.tag(of: attempt.state)
            // Its name has to last as long as it is away.
            let kept = [cookies.setting(.attempt(tag), to: sealed), cookies.setting(.browser, to: browser.string)]
            return Self.leaving(for: url, purpose).response(cookies: kept + forgetting(request, at: now))
        } catch {
            return Self.unavailable(context.trace).response()
        }
    }

    /// Makes room for one more: what is over goes first, then what began first.
    private func forgetting(_ request: Request, at now: Duration) -> [String] {
        let carried = cookies.attempts(in: request.headers).map { carried in
            (tag: carried.tag, end: binding.absence(carried.value, at: now)?.end ?? .zero)
        }
        return carried.sorted { $0.end > $1.end }.dropFirst(Self.maximumAttempts - 1)
            .map { cookies.clearing(.attempt($0.tag)) }
    }

    /// `GET /oauth/callback`.
    func returned(_ request: Request, _ context: BrokerRequestContext) async -> Response {
        do throws(OAuthError) {
            try limits.admit(.provider, context)
        } catch {
            return Self.busy(context.trace).response()
        }
        guard let callback = try? AuthorizationCallback(query: request.uri.query ?? "") else {
            return refused(.state, context).response()
        }
        guard let state = callback.state else { return returnedWithoutState(callback, request, context) }
        let now = clock.uptime
        let name = PageCookies.Name.attempt(BrowserBinding.tag(of: state))
        guard let carried = cookies.value(name, in: request.headers) else {
            return refused(.state, context).response()
        }
        if let ending = binding.ending(carried, at: now) { return returnedAgain(ending, context) }
        // Its own name as well: on a loopback address any port could have brought the other cookie.
        guard let absence = binding.absence(carried, at: now), absence.browser == browser(request) else {
            return refused(.state, context).response()
        }
        return await underWay(.provider, context) { await finishOnce(callback, absence, name, context) }
    }

    /// Of those who load one return at once, the first goes on, and the others are told.
    private func finishOnce(
        _ callback: AuthorizationCallback, _ absence: BrowserBinding.Absence, _ name: PageCookies.Name,
        _ context: BrokerRequestContext
    ) async -> Response {
        let (tag, now) = (BrowserBinding.tag(of: absence.attempt.state), clock.uptime)
        switch place.returns.remember(.underWay, of: tag, until: absence.end, for: context.client, at: now) {
        case .underWay: return Self.beingFinished(context.trace).response()
        case .over(let ending): return returnedAgain(ending, context)
        case nil: break
        }
        let outcome = await finish(callback, absence, context)
        guard let ending = outcome.ending else {
            place.returns.forget(tag)
            return outcome.response
        }
        place.returns.replace(tag, with: .over(ending))
        var response = outcome.response
        for cookie in outcome.cookies { response.headers.append(HTTPField(name: .setCookie, value: cookie)) }
        // The address is in the history from now on, and loaded once more by whoever goes back.
        if let sealed = try? binding.seal(ending, until: now + BrowserBinding.life) {
            response.headers.append(HTTPField(name: .setCookie, value: cookies.setting(name, to: sealed)))
        }
        return response
    }

    /// How a return ended.
    private struct Outcome {
        var response: Response
        /// Nil where the same return may be tried once more.
        var ending: BrowserBinding.Ending?
        var cookies: [String] = []
    }

    private func finish(
        _ callback: AuthorizationCallback, _ absence: BrowserBinding.Absence, _ context: BrokerRequestContext
    ) async -> Outcome {
        // Before the proof is looked at: what is revoked from here on takes the session with it.
        let signIn = signIn()
        let revision = signIn.highestRevocation
        let found: ProviderSignIn
        var isSent = false
        do throws(AuthorizationFailure) {
            found = try await provider.finish(callback, of: absence.attempt, beforeSending: { isSent = true })
        } catch {
            if case .device(let code) = absence.purpose, case .denied = error {
                devices.deny(code, DeviceDenial(.provider, under: context.trace))
            }
            let way = way(back: absence.purpose, absence.browser)
            switch error {
            case .unavailable where isSent:
                note(refusal: error, context)
                return Outcome(response: Self.providerSilent(context.trace, way).response(), ending: .failed)
            // Of this state the provider was told nothing.
            case .unavailable, .state: return Outcome(response: refused(error, context, way).response(), ending: nil)
            default: return Outcome(response: refused(error, context, way).response(), ending: .failed)
            }
        }
        switch absence.purpose {
        case .sessions: return visit(found, absence, signIn, context)
        case .device(let code): return await approve(code, found, absence, since: revision, signIn, context)
        }
    }

    /// Whether whoever came back was signed out at the provider since the browser was sent away, for which nothing is done.
    private func isSignedOut(
        _ found: ProviderSignIn, _ absence: BrowserBinding.Absence, _ signIn: SignIn, _ context: BrokerRequestContext
    ) -> Bool {
        guard
            signIn.isSignedOut(
                found.subject.identity, providerSession: found.session, of: found.subject.issuer, since: absence.begun)
        else { return false }
        signIn.noteRefusal(
            .provider, "signed out at the identity provider while signing in", from: context.client.text,
            under: context.trace)
        return true
    }

    private func approve(
        _ code: UserCode, _ found: ProviderSignIn, _ absence: BrowserBinding.Absence, since revision: UInt64,
        _ signIn: SignIn, _ context: BrokerRequestContext
    ) async -> Outcome {
        let person = found.email ?? found.subject.identity
        let approval: Approval?
        do throws(SignInRefusal) {
            approval = try await signIn.approval(
                by: found.subject, since: revision, email: found.email, providerToken: found.token,
                providerSession: found.session, from: context.client.text, under: context.trace)
        } catch {
            note("a sign-in could not be decided", "\(error)", context)
            let page = Self.unavailable(context.trace, .device(again(code, absence.browser)))
            return Outcome(response: page.response(), ending: .failed)
        }
        // What is taken after `approval` asks itself, when the device comes for it.
        guard !isSignedOut(found, absence, signIn, context) else {
            let page = Self.signedOutMeanwhile(context.trace, way(back: absence.purpose, absence.browser))
            return Outcome(response: page.response(), ending: .failed)
        }
        guard let approval else {
            devices.deny(code, DeviceDenial(.rules, under: context.trace))
            return Outcome(response: Self.nothingGranted(to: person, context.trace).response(), ending: .failed)
        }
        guard let device = devices.pending(code), devices.approve(code, with: approval) else {
            return Outcome(response: Self.over(context.trace).response(), ending: .failed)
        }
        let page = Self.signedIn(person, on: device, approval.grant)
        return Outcome(response: page.response(), ending: .approved)
    }

    private func visit(
        _ found: ProviderSignIn, _ absence: BrowserBinding.Absence, _ signIn: SignIn, _ context: BrokerRequestContext
    ) -> Outcome {
        // Before it is asked who was signed out: what comes from here on ends the visit.
        let begun = clock.uptime
        guard !isSignedOut(found, absence, signIn, context) else {
            return Outcome(response: Self.signedOutMeanwhile(context.trace, .sessions).response(), ending: .failed)
        }
        guard let id = try? place.random.bytes(16) else {
            return Outcome(response: Self.unavailable(context.trace, .sessions).response(), ending: .failed)
        }
        let subject = found.subject.identity
        let visit = BrowserBinding.Visit(
            id: Base64URL.encode(id), subject: subject, person: found.email ?? subject, providerSession: found.session,
            browser: absence.browser, end: begun + BrowserBinding.visitLife)
        guard let sealed = try? binding.seal(visit), sealed.utf8.count <= PageCookies.maximumLength / 2 else {
            return Outcome(response: Self.unavailable(context.trace).response(), ending: .failed)
        }
        return Outcome(response: toSessions, ending: .visit, cookies: [cookies.setting(.visit, to: sealed)])
    }

    /// To the page of sessions, of this origin and of no other.
    private var toSessions: Response {
        Response(
            status: .seeOther, headers: [.location: publicURL + Self.sessionsPath, .cacheControl: "no-store"])
    }

    /// Nothing is done twice, and whoever went back is told how it ended.
    private func returnedAgain(_ ending: BrowserBinding.Ending, _ context: BrokerRequestContext) -> Response {
        switch ending {
        case .approved: Self.signedInBefore.response()
        case .visit: toSessions
        case .failed: Self.overBefore(context.trace).response()
        }
    }

    /// RFC 6749 §4.1.2.1 wants the state back with an error, and not all providers give it. Whose return it is cannot be
    /// known then, and a link of anybody's looks the same: the person is told, and refuses the device by a form.
    private func returnedWithoutState(
        _ callback: AuthorizationCallback, _ request: Request, _ context: BrokerRequestContext
    ) -> Response {
        guard let error = callback.error else { return refused(.state, context).response() }
        signIn().noteRefusal(
            .provider, "an error without a state: \(DiscoveryKeySetFetcher.quoted(error))", from: context.client.text,
            under: context.trace)
        let away = cookies.attempts(in: request.headers).compactMap { binding.absence($0.value, at: clock.uptime) }
        let way = away.count == 1 ? way(back: away[0].purpose, away[0].browser) : .code
        return Self.refusedWithoutState(context.trace, way).response()
    }

    private func way(back purpose: BrowserBinding.Purpose, _ browser: ExactString) -> Way {
        switch purpose {
        case .sessions: .sessions
        case .device(let code): devices.pending(code) == nil ? .code : .device(again(code, browser))
        }
    }

    private func refused(
        _ failure: AuthorizationFailure, _ context: BrokerRequestContext, _ way: Way = .code
    ) -> Page {
        note(refusal: failure, context)
        return Self.refused(failure, context.trace, way)
    }

    private func note(refusal failure: AuthorizationFailure, _ context: BrokerRequestContext) {
        let words = failure.details.isEmpty ? failure.word : "\(failure.word): \(failure.details)"
        signIn().noteRefusal(failure.reason, words, from: context.client.text, under: context.trace)
        if failure.isFault { note("the identity provider proved nothing", words, context) }
    }
}
