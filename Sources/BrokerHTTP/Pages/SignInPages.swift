// The pages on which a person approves a device (RFC 8628 §3.3): the code is typed, the device is shown, the person signs
// in at the company's provider and comes back, and the device may have what the rules grant. What they look like is in
// SignInPages+Words.swift; what ties the steps together in BrowserBinding.swift.
import Broker
import FoundationEssentials
import HTTPTypes
import Hummingbird
import JOSE
import Logging
import NIOCore

/// `GET` and `POST /device`, and `GET /oauth/callback`.
struct SignInPages: Sendable {
    static let devicePath = "/device"
    static let callbackPath = "/oauth/callback"
    private static let maximumBody = 4096

    let place: SignInPlace
    /// Those of the moment.
    let rules: @Sendable () -> RuleSet
    let state: @Sendable () -> BrokerState
    let limits: ExchangeLimits
    /// The origin that browsers use, without a trailing slash.
    let publicURL: String
    let clock: any BrokerClock
    let logger: Logger

    private var devices: DeviceAuthorizations { place.devices }
    private var provider: OpenIDProvider { place.provider }
    private var binding: BrowserBinding { place.binding }
    private var cookies: PageCookies { PageCookies(isSecure: publicURL.hasPrefix("https:")) }

    static func has(_ path: String) -> Bool { path == devicePath || path == callbackPath }

    /// - Parameter context: with the client that the request counts for.
    /// - Returns: nil for a path that is none of a page.
    func respond(to request: Request, _ context: BrokerRequestContext) async -> Response? {
        switch (request.uri.path, request.method) {
        case (Self.devicePath, .get), (Self.devicePath, .head): return typing(request)
        case (Self.devicePath, .post): return await posted(request, context)
        case (Self.callbackPath, .get): return await returned(request, context)
        case (Self.devicePath, _): return .methodNotAllowed("GET, HEAD, POST")
        case (Self.callbackPath, _): return .methodNotAllowed("GET")
        default: return nil
        }
    }

    // MARK: The code

    /// The page where the code is typed. It is never filled in, whatever the address says: whoever types it has seen it
    /// on a device of his own (RFC 8628 §5.4).
    private func typing(_ request: Request, _ problem: Problem? = nil) -> Response {
        if let browser = browser(request) {
            return Self.typing(proof: binding.proof(of: "", browser: browser), problem).response()
        }
        let browser: ExactString
        do {
            browser = ExactString(Base64URL.encode(try place.random.bytes(32)))
        } catch {
            return Self.unavailable(TraceID()).response()
        }
        return Self.typing(proof: binding.proof(of: "", browser: browser), problem)
            .response(cookies: [cookies.setting(.browser, to: browser.string)])
    }

    private func browser(_ request: Request) -> ExactString? {
        cookies.value(.browser, in: request.headers).flatMap { $0.utf8.count == 43 ? $0 : nil }
    }

    private func posted(_ request: Request, _ context: BrokerRequestContext) async -> Response {
        guard isOurs(request.headers) else { return Self.foreign(context.trace).response() }
        do throws(OAuthError) {
            try limits.admit(.exchange, context)
        } catch {
            return Self.busy(context.trace).response()
        }
        guard let form = await form(of: request) else { return Self.foreign(context.trace).response() }
        let browser = browser(request)
        guard let step = form["step"] else {
            guard binding.isProof(form["form"], of: "", browser: browser), let browser else {
                return typing(request, .oldForm)
            }
            return find(form["user_code"], request, browser, context)
        }
        // Only for the code that this browser was shown: else it could be guessed at here, uncounted.
        guard let code = form["user_code"].flatMap({ UserCode(typed: $0.string) }),
            binding.isProof(form["form"], of: code.text, browser: browser)
        else { return typing(request, .oldForm) }
        guard devices.pending(code) != nil else { return Self.over(context.trace).response() }
        switch step {
        case "continue": return await leave(for: code, context)
        case "refuse":
            devices.deny(code)
            return Self.refusedByPerson.response()
        default: return Self.foreign(context.trace).response()
        }
    }

    private func find(
        _ typed: ExactString?, _ request: Request, _ browser: ExactString, _ context: BrokerRequestContext
    ) -> Response {
        switch devices.pending(typed?.string ?? "", from: context.client.address) {
        case .found(let device):
            let proof = binding.proof(of: device.userCode.text, browser: browser)
            let age = clock.uptime - device.begun
            return Self.confirming(device, age: age, proof: proof, provider: provider.name).response()
        case .wrong: return typing(request, .wrongCode)
        case .limited: return Self.tooManyCodes(context.trace).response()
        }
    }

    /// Whether a form of our own page was sent (RFC 9110 §7.1, Fetch Metadata). A browser that says neither is told
    /// apart by its cookie.
    private func isOurs(_ headers: HTTPFields) -> Bool {
        if let origin = headers[.origin], origin != publicURL { return false }
        if let name = HTTPField.Name("Sec-Fetch-Site"), let site = headers[name], site != "same-origin" { return false }
        return true
    }

    private func form(of request: Request) async -> FormBody? {
        let type = request.headers[.contentType]?.split(separator: ";").first.map { ExactString(String($0)) }
        guard type?.equalsIgnoringASCIICase("application/x-www-form-urlencoded") == true else { return nil }
        var request = request
        guard let buffer = try? await request.collectBody(upTo: Self.maximumBody) else { return nil }
        return try? FormBody(parsing: Array(buffer.readableBytesView))
    }

    // MARK: The provider

    private func leave(for code: UserCode, _ context: BrokerRequestContext) async -> Response {
        let (url, attempt): (String, AuthorizationAttempt)
        do throws(ProviderFailure) {
            (url, attempt) = try await provider.begin()
        } catch {
            note("a sign-in could not begin", "\(error)", context)
            return Self.providerUnavailable(context.trace).response()
        }
        do {
            let absence = BrowserBinding.Absence(
                attempt: attempt, code: code, end: clock.uptime + BrowserBinding.life)
            let sealed = try binding.seal(absence)
            return Self.leaving(for: url).response(cookies: [cookies.setting(.attempt, to: sealed)])
        } catch {
            return Self.unavailable(context.trace).response()
        }
    }

    private func returned(_ request: Request, _ context: BrokerRequestContext) async -> Response {
        let page = await returning(request, context)
        return page.response(cookies: [cookies.clearing(.attempt)])
    }

    private func returning(_ request: Request, _ context: BrokerRequestContext) async -> Page {
        do throws(OAuthError) {
            try limits.admit(.exchange, context)
        } catch {
            return Self.busy(context.trace)
        }
        let carried = cookies.value(.attempt, in: request.headers)
        guard let absence = carried.flatMap({ binding.open($0, at: clock.uptime) }),
            let callback = try? AuthorizationCallback(query: request.uri.query ?? "")
        else { return refused(.state, context) }
        // Before the proof is looked at: what is revoked from here on takes the session with it.
        let revision = state().revocations.highest
        let signIn: ProviderSignIn
        do throws(AuthorizationFailure) {
            signIn = try await provider.finish(callback, of: absence.attempt)
        } catch {
            if case .denied = error { devices.deny(absence.code) }
            return refused(error, context)
        }
        let subject = signIn.subject
        guard let grant = rules().grantForDevice(to: subject, whileRevoked: state().revocations, at: clock.now)
        else {
            note("a sign-in was refused: nothing is granted", "\(subject.identity)", context)
            devices.deny(absence.code)
            return Self.nothingGranted(to: signIn.email ?? subject.identity, context.trace)
        }
        let approval = Approval(
            subject: subject, since: revision, grant: grant, email: signIn.email,
            providerToken: signIn.token, providerSession: signIn.session)
        guard let device = devices.pending(absence.code), devices.approve(absence.code, with: approval) else {
            return Self.over(context.trace)
        }
        return Self.signedIn(signIn.email ?? subject.identity, on: device, grant, context.trace)
    }

    private func refused(_ failure: AuthorizationFailure, _ context: BrokerRequestContext) -> Page {
        note("a sign-in was refused: \(failure.word)", failure.details, context)
        return Self.refused(failure, context.trace)
    }

    private func note(_ message: String, _ details: String, _ context: BrokerRequestContext) {
        logger.notice(
            "\(message)",
            metadata: [
                "trace": "\(context.trace)", "client": "\(context.client.text)", "details": "\(details)",
            ])
    }
}
