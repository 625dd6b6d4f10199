import Broker
import JOSE
import OpenSSL

/// What ties the steps of a sign-in to one browser, without anything kept here: a form is accepted from the browser that
/// it was shown to, and a return from the provider from the one that was sent there, by the cookie that it was sent with
/// and by its own name. A browser that was not told of it can be made to do neither (RFC 9700 §4.7).
///
/// Its keys live as long as the process, as do the devices that wait.
struct BrowserBinding: Sendable {
    /// How long a browser may be away at the provider.
    static let life: Duration = .seconds(600)
    /// How long somebody stays signed in on the page of sessions.
    static let visitLife: Duration = .seconds(900)

    private let formKey: SecretBytes
    private let sealingKey: AESGCMKey

    init(from random: any RandomSource) throws(OpenSSLError) {
        var bytes = try random.bytes(32)
        formKey = SecretBytes(moving: &bytes)
        var more = try random.bytes(AESGCMKey.length)
        guard let key = AESGCMKey(SecretBytes(moving: &more)) else { preconditionFailure("a key has 32 bytes") }
        sealingKey = key
    }

    /// What a form that was shown to this browser carries.
    /// - Parameter subject: what else it stands for: a code that was found, or a person.
    func proof(of subject: String, browser: ExactString) -> String {
        let message = Array("\(browser)\u{0}\(subject)".utf8)
        return Base64URL.encode(
            formKey.withSpan { key in HashAlgorithm.sha256.authenticationCode(of: message.span, under: key) })
    }

    /// In a time that tells nothing of the right one.
    func isProof(_ presented: ExactString?, of subject: String, browser: ExactString?) -> Bool {
        guard let presented, let browser else { return false }
        let expected = Array(proof(of: subject, browser: browser).utf8)
        return SecretBytes(copying: Array(presented.utf8).span) == SecretBytes(copying: expected.span)
    }

    /// What somebody signs in for.
    enum Purpose: Sendable {
        /// To approve the device with this code.
        case device(UserCode)
        /// To see his own sessions.
        case sessions
    }

    /// A browser that is away at the provider.
    struct Absence: Sendable {
        let attempt: AuthorizationAttempt
        let purpose: Purpose
        let browser: ExactString
        /// On the clock that never goes back.
        let end: Duration

        var begun: Duration { end - BrowserBinding.life }
    }

    /// Somebody who sees his own sessions: good for that and nothing else.
    struct Visit: Sendable {
        /// Nobody else's.
        let id: String
        /// As sessions have it, `name:sub`.
        let subject: ExactString
        /// For show.
        let person: ExactString
        /// `sid` of the ID token; nil where it had none.
        let providerSession: ExactString?
        let browser: ExactString
        /// On the clock that never goes back.
        let end: Duration

        var begun: Duration { end - BrowserBinding.visitLife }
    }

    /// What became of an absence, for whoever loads its end once more.
    enum Ending: String, Sendable {
        case approved, visit, failed
    }

    /// What else it is sealed with, so that one cannot stand for another.
    private enum Kind: String {
        case absence, visit, ending
    }

    /// What tells one absence of a browser from another: tabs do not take each other's.
    static func tag(of state: SecretText) -> String {
        String(Base64URL.encode(HashAlgorithm.sha256.digest(Array(state.reveal().utf8))).prefix(16))
    }

    /// What the browser carries until it comes back.
    func seal(_ absence: Absence) throws(OpenSSLError) -> String {
        var members = absence.attempt.members
        if case .device(let code) = absence.purpose { _ = members.append("code", .string(ExactString(code.text))) }
        _ = members.append("browser", .string(absence.browser))
        return try seal(members, until: absence.end, as: .absence)
    }

    /// - Returns: nil for what this process did not seal, or too long ago.
    func absence(_ text: ExactString, at uptime: Duration) -> Absence? {
        guard let (members, end) = open(text, as: .absence, at: uptime),
            let attempt = AuthorizationAttempt(members), let browser = members["browser"]?.string
        else { return nil }
        guard let code = members["code"] else {
            return Absence(attempt: attempt, purpose: .sessions, browser: browser, end: end)
        }
        return code.string.flatMap { UserCode(typed: $0.string) }
            .map { Absence(attempt: attempt, purpose: .device($0), browser: browser, end: end) }
    }

    func seal(_ visit: Visit) throws(OpenSSLError) -> String {
        var members: JSONObject = [
            "id": .string(ExactString(visit.id)), "subject": .string(visit.subject), "person": .string(visit.person),
            "browser": .string(visit.browser),
        ]
        if let session = visit.providerSession { _ = members.append("session", .string(session)) }
        return try seal(members, until: visit.end, as: .visit)
    }

    /// - Returns: nil also for that of another browser.
    func visit(_ text: ExactString, of browser: ExactString, at uptime: Duration) -> Visit? {
        guard let (members, end) = open(text, as: .visit, at: uptime), members["browser"]?.string == browser,
            let id = members["id"]?.string, let subject = members["subject"]?.string,
            let person = members["person"]?.string
        else { return nil }
        return Visit(
            id: id.string, subject: subject, person: person, providerSession: members["session"]?.string,
            browser: browser, end: end)
    }

    func seal(_ ending: Ending, until end: Duration) throws(OpenSSLError) -> String {
        try seal(["ending": .string(ExactString(ending.rawValue))], until: end, as: .ending)
    }

    func ending(_ text: ExactString, at uptime: Duration) -> Ending? {
        open(text, as: .ending, at: uptime)?.members["ending"]?.string.flatMap { Ending(rawValue: $0.string) }
    }

    private func seal(_ members: JSONObject, until end: Duration, as kind: Kind) throws(OpenSSLError) -> String {
        var members = members
        _ = members.append("end", .number(end.seconds))
        let bytes = members.encoded()
        return Base64URL.encode(try sealingKey.seal(bytes.span, associatedData: Self.associatedData(kind)))
    }

    private func open(
        _ text: ExactString, as kind: Kind, at uptime: Duration
    ) -> (members: JSONObject, end: Duration)? {
        guard let sealed = try? Base64URL.decode(text),
            let opened = try? sealingKey.open(sealed.span, associatedData: Self.associatedData(kind))
        else { return nil }
        let bytes = opened.withSpan { span in span.indices.map { span[$0] } }
        guard let members = try? JSONReader.readObject(bytes), let end = members["end"]?.number, uptime.seconds < end
        else { return nil }
        return (members, .seconds(end))
    }

    private static func associatedData(_ kind: Kind) -> [UInt8] { Array("daypass sign-in \(kind.rawValue)".utf8) }
}
