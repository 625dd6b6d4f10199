// The pages on which a person approves a device (RFC 8628 §3.3): the code is typed, the device is shown, the person signs
// in at the company's provider and comes back (SignInPages+Provider.swift), and the device may have what the rules grant;
// and the page of one's own sessions (SignInPages+Sessions.swift). What they look like is in the files of words; what ties
// the steps together in BrowserBinding.swift.
import Broker
import FoundationEssentials
import HTTPTypes
import Hummingbird
import JOSE
import Logging
import NIOCore

/// `GET` and `POST /device`, `GET /oauth/callback`, `GET` and `POST /sessions`.
struct SignInPages: Sendable {
    static let devicePath = "/device"
    static let callbackPath = "/oauth/callback"
    static let sessionsPath = "/sessions"
    private static let maximumBody = 4096

    let place: SignInPlace
    /// That of the moment.
    let signIn: @Sendable () -> SignIn
    let limits: ExchangeLimits
    /// The origin that browsers use, without a trailing slash.
    let publicURL: String
    let clock: any BrokerClock
    let logger: Logger

    var devices: DeviceAuthorizations { place.devices }
    var provider: OpenIDProvider { place.provider }
    var binding: BrowserBinding { place.binding }
    var cookies: PageCookies { PageCookies(isSecure: origin.hasPrefix("https:")) }
    /// As browsers write it (RFC 6454 §6.1): in lower case, without the port that is usual.
    private var origin: String {
        guard let url = try? OutboundURL(parsing: publicURL) else { return publicURL.lowercased() }
        return String("\(url)".dropLast(url.target.utf8.count))
    }

    static func has(_ path: String) -> Bool { [devicePath, callbackPath, sessionsPath].contains(path) }

    /// - Parameter context: with the client that the request counts for.
    /// - Returns: nil for a path that is none of a page.
    func respond(to request: Request, _ context: BrokerRequestContext) async -> Response? {
        switch (request.uri.path, request.method) {
        case (Self.devicePath, .get), (Self.devicePath, .head): typing(request)
        case (Self.devicePath, .post): await posted(request, context, typed)
        case (Self.callbackPath, .get): await returned(request, context)
        case (Self.sessionsPath, .get), (Self.sessionsPath, .head): await visited(request, context)
        case (Self.sessionsPath, .post): await posted(request, context, chosen)
        case (Self.devicePath, _), (Self.sessionsPath, _): .methodNotAllowed("GET, HEAD, POST")
        case (Self.callbackPath, _): .methodNotAllowed("GET")
        default: nil
        }
    }

    // MARK: The browser

    func browser(_ request: Request) -> ExactString? {
        cookies.value(.browser, in: request.headers).flatMap { $0.utf8.count == 43 ? $0 : nil }
    }

    /// A page for this browser, which is given a name of its own where it has none.
    func page(_ request: Request, _ page: (_ browser: ExactString) -> Page) -> Response {
        if let browser = browser(request) { return page(browser).response() }
        let browser: ExactString
        do {
            browser = ExactString(Base64URL.encode(try place.random.bytes(32)))
        } catch {
            return Self.unavailable(TraceID()).response()
        }
        return page(browser).response(cookies: [cookies.setting(.browser, to: browser.string)])
    }

    /// What every form has to pass.
    /// - Parameter answer: to one that a page of ours may have sent.
    private func posted(
        _ request: Request, _ context: BrokerRequestContext,
        _ answer: (FormBody, Request, BrokerRequestContext) async -> Response
    ) async -> Response {
        guard isOurs(request.headers) else { return Self.foreign(context.trace).response() }
        do throws(OAuthError) {
            try limits.admit(.exchange, context)
        } catch {
            return Self.busy(context.trace).response()
        }
        guard let form = await form(of: request) else { return Self.foreign(context.trace).response() }
        return await answer(form, request, context)
    }

    /// Whether a form of our own page was sent (RFC 9110 §7.1, Fetch Metadata). A browser that says neither is told
    /// apart by its cookie.
    private func isOurs(_ headers: HTTPFields) -> Bool {
        if let sent = headers[.origin], sent != origin { return false }
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

    /// Waits for something slow in a place of its own: a slow provider piles nothing up.
    func underWay(
        _ work: ExchangeLimits.Work, _ context: BrokerRequestContext, _ body: () async -> Response
    ) async -> Response {
        do throws(OAuthError) {
            return try await limits.underWay(work, context) { () async throws(OAuthError) -> Response in
                await body()
            }
        } catch {
            return Self.busy(context.trace).response()
        }
    }

    // MARK: The code

    /// The page where the code is typed. It is never filled in, whatever the address says: whoever types it has seen it
    /// on a device of his own (RFC 8628 §5.4).
    private func typing(_ request: Request, _ problem: Problem? = nil) -> Response {
        page(request) { Self.typing(proof: binding.proof(of: "", browser: $0), problem) }
    }

    private func typed(_ form: FormBody, _ request: Request, _ context: BrokerRequestContext) async -> Response {
        let browser = browser(request)
        guard let step = form["step"] else {
            guard binding.isProof(form["form"], of: "", browser: browser), let browser else {
                return typing(request, .oldForm)
            }
            return find(form["user_code"], request, browser, context)
        }
        // Only for the code that this browser was shown: else it could be guessed at here, uncounted.
        guard let code = form["user_code"].flatMap({ UserCode(typed: $0.string) }), let browser,
            binding.isProof(form["form"], of: code.text, browser: browser)
        else { return typing(request, .oldForm) }
        guard let device = devices.pending(code) else { return Self.over(context.trace).response() }
        switch step {
        case "continue":
            return await underWay(.provider, context) { await leave(for: .device(code), browser, request, context) }
        case "refuse":
            if devices.deny(code, DeviceDenial(.person, under: context.trace)) {
                signIn().noteDenial(
                    of: device.device, askedFrom: ExactString(device.address.text), from: context.client.text,
                    under: context.trace)
            }
            return Self.refusedByPerson(context.trace).response()
        default: return Self.foreign(context.trace).response()
        }
    }

    private func find(
        _ typed: ExactString?, _ request: Request, _ browser: ExactString, _ context: BrokerRequestContext
    ) -> Response {
        switch devices.pending(typed?.string ?? "", from: context.client.address) {
        case .found(let device):
            let again = again(device.userCode, browser)
            return Self.confirming(
                device, age: clock.uptime - device.begun, again, provider: provider.name,
                signIn().largestGrant(of: provider.name)
            ).response()
        case .wrong: return typing(request, .wrongCode)
        case .limited: return Self.tooManyCodes(context.trace).response()
        }
    }

    /// What lets this browser, which was shown the code, go on with it.
    func again(_ code: UserCode, _ browser: ExactString) -> KnownCode {
        KnownCode(code: code, proof: binding.proof(of: code.text, browser: browser))
    }

    /// A code that a browser was shown, with the proof of it.
    struct KnownCode {
        let code: UserCode
        let proof: String
    }

    /// So many in a second, since most of it anybody can cause.
    func note(_ message: String, _ details: String, _ context: BrokerRequestContext) {
        guard let omitted = place.lines.admit(at: clock.uptime) else { return }
        logger.notice(
            "\(message)",
            metadata: [
                "trace": "\(context.trace)", "client": "\(context.client.text)", "details": "\(details)",
                "omitted": "\(omitted)",
            ])
    }
}
