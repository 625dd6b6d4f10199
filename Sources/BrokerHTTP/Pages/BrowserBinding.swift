import Broker
import JOSE
import OpenSSL

/// What ties the steps of a sign-in to one browser, without anything kept here: a form is accepted from the browser that
/// it was shown to, and a return from the provider from the one that was sent there. A browser that was not told of it
/// can be made to do neither (RFC 9700 §4.7).
///
/// Its keys live as long as the process, as do the devices that wait.
struct BrowserBinding: Sendable {
    /// How long a browser may be away at the provider.
    static let life: Duration = .seconds(600)
    private static let associatedData = Array("daypass sign-in".utf8)

    private let formKey: SecretBytes
    private let attemptKey: AESGCMKey

    init(from random: any RandomSource) throws(OpenSSLError) {
        var bytes = try random.bytes(32)
        formKey = SecretBytes(moving: &bytes)
        var more = try random.bytes(AESGCMKey.length)
        guard let key = AESGCMKey(SecretBytes(moving: &more)) else { preconditionFailure("a key has 32 bytes") }
        attemptKey = key
    }

    /// What a form that was shown to this browser carries.
    /// - Parameter subject: what else it stands for: a code that was found.
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

    /// A browser that is away at the provider.
    struct Absence: Sendable {
        let attempt: AuthorizationAttempt
        /// The device that it is for.
        let code: UserCode
        /// On the clock that never goes back.
        let end: Duration
    }

    /// What the browser carries until it comes back.
    func seal(_ absence: Absence) throws(OpenSSLError) -> String {
        var members = absence.attempt.members
        _ = members.append("code", .string(ExactString(absence.code.text)))
        _ = members.append("end", .number(absence.end.seconds))
        let bytes = members.encoded()
        return Base64URL.encode(try attemptKey.seal(bytes.span, associatedData: Self.associatedData))
    }

    /// - Returns: nil for what this process did not seal, or too long ago.
    func open(_ text: ExactString, at uptime: Duration) -> Absence? {
        guard let sealed = try? Base64URL.decode(text),
            let opened = try? attemptKey.open(sealed.span, associatedData: Self.associatedData)
        else { return nil }
        let bytes = opened.withSpan { span in span.indices.map { span[$0] } }
        guard let members = try? JSONReader.readObject(bytes), let attempt = AuthorizationAttempt(members),
            let code = members["code"]?.string.flatMap({ UserCode(typed: $0.string) }),
            let end = members["end"]?.number, uptime.seconds < end
        else { return nil }
        return Absence(attempt: attempt, code: code, end: .seconds(end))
    }
}
