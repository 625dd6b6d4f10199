import Broker
import JOSE

/// What devices and people send to the broker to sign in, and the claims with which the identity provider signs them out:
/// a form with a device's own words, a typed user code or a token, or JSON.
enum DeviceTarget: FuzzTarget {
    private static let now = 1_800_000_000.0

    static func run(_ input: [UInt8]) {
        code(input)
        token(input)
        if let form = try? FormBody(parsing: input) {
            let device = DeviceDescription(
                surface: form["surface"], name: form["device_name"], userAgent: form["user_agent"])
            for text in [device.surface, device.name, device.userAgent, device.program].compactMap(\.self) {
                precondition(text.utf8.count <= DeviceDescription.maximumLength && !text.isEmpty)
                precondition(text.utf8.allSatisfy { (0x20...0x7E).contains($0) }, "it can turn text around")
            }
            if let typed = form["user_code"] { code(Array(typed.utf8)) }
        }
        if let claims = try? JSONReader.readObject(input) { logout(claims) }
    }

    private static func code(_ input: [UInt8]) {
        guard let code = UserCode(typed: String(decoding: input, as: UTF8.self)) else { return }
        precondition(code.text.utf8.count == 9 && UserCode(typed: code.text) == code, "a code is not its own text")
        precondition(UserCode(typed: code.text.lowercased()) == code, "its case counts")
        precondition("\(code)" == "(user code)", "it prints itself")
    }

    private static func token(_ input: [UInt8]) {
        let text = String(decoding: input, as: UTF8.self)
        guard let token = OpaqueToken(parsing: SecretText(text)) else { return }
        precondition(token.text.reveal() == text && token.digest.count == 32, "a token has a second spelling")
        precondition("\(token)" == "(secret)", "it prints itself")
    }

    private static let issuer = IssuerName(parsing: "corp").map {
        IssuerConfiguration(name: $0, issuer: "https://issuer.example.com", audience: "daypass")
    }

    private static func logout(_ claims: JSONObject) {
        guard let issuer, let logout = try? LogoutTokens.logout(claims, issuer, at: now) else { return }
        precondition(claims["nonce"] == nil && claims["events"]?.object != nil, "it may be an ID token")
        precondition(claims["iat"]?.number.map { abs($0 - now) <= 120 } == true, "it is too old")
        switch logout {
        case .session(let session, let identity):
            precondition(!session.isEmpty && claims["sid"]?.string == session)
            precondition((identity == nil) == (claims["sub"] == nil), "the subject was passed over")
        case .subject(let identity):
            precondition(claims["sid"] == nil, "it is about one session, and ends all")
            precondition(identity.string.hasPrefix("corp:") && identity.utf8.count > 5)
        }
    }
}
