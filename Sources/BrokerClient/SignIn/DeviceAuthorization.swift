/// What a broker answers to a device that asks to be signed in (RFC 8628 §3.2), and what its page is to be told.
package struct DeviceAuthorization: Sendable, Hashable {
    /// What the device asks with whether it was approved.
    package let code: TokenText
    /// What the person types into the page: 1 to 64 printable ASCII characters.
    package let userCode: String
    /// The page: an https URL, or an http one of a loopback host.
    package let page: String
    /// What the broker wants to have said, at most 500 characters.
    package let notice: String?
    /// Of both codes, at most an hour.
    package let lifetime: Duration
    /// Between two questions, a second at least.
    package let interval: Duration

    init(code: TokenText, userCode: String, page: String, notice: String?, lifetime: Duration, interval: Duration) {
        (self.code, self.userCode, self.page, self.notice) = (code, userCode, page, notice)
        (self.lifetime, self.interval) = (lifetime, interval)
    }

    /// The page with the code in it (`verification_uri_complete`) is left out: who types the code has seen it here.
    /// - Returns: nil for what is no such answer, and for a page that is none to send a person to.
    package init?(_ json: JSON) {
        guard let code = json["device_code"]?.text.flatMap({ TokenText($0) }),
            let userCode = json["user_code"]?.text, Self.isPlain(userCode, atMost: 64, from: 0x20),
            let page = json["verification_uri"]?.text, Self.isPlain(page, atMost: 2048, from: 0x21),
            let lifetime = json["expires_in"]?.count, lifetime > 0
        else { return nil }
        let origin = page.split(separator: "/", maxSplits: 3, omittingEmptySubsequences: false).prefix(3)
        guard origin.count == 3, BrokerAddress.origin(parsing: origin.joined(separator: "/")) != nil else { return nil }
        let interval: Int
        switch json["interval"] {
        case nil: interval = 5
        case let value?:
            guard let count = value.count, (0...600).contains(count) else { return nil }
            interval = max(count, 1)
        }
        self.init(
            code: code, userCode: userCode, page: page,
            notice: json["login_notice"]?.text.map { String($0.prefix(500)) },
            lifetime: .seconds(min(lifetime, 3600)), interval: .seconds(interval))
    }

    private static func isPlain(_ text: String, atMost maximum: Int, from first: UInt8) -> Bool {
        (1...maximum).contains(text.utf8.count) && text.utf8.allSatisfy { (first...0x7E).contains($0) }
    }
}

/// What the broker says while a device waits.
package enum DevicePoll: Sendable, Hashable {
    case pending
    /// It is asked too often, for good (RFC 8628 §3.5).
    case slowDown
    case granted(GrantedSignIn)
    /// It does not answer, or has no time; why, and after how long to come again.
    case unanswered(TokenFailure, after: Duration)
}

/// A sign-in that was approved, or is continued.
package struct GrantedSignIn: Sendable, Hashable {
    package let issued: IssuedToken
    /// What gets the next one, once; nil where it stays the same.
    package let refresh: TokenText?
    /// Whose it is, for show.
    package let email: String?

    package init(issued: IssuedToken, refresh: TokenText?, email: String?) {
        (self.issued, self.refresh, self.email) = (issued, refresh, email)
    }
}
