package import JOSE
package import OpenSSL

/// That somebody proved who he is, at the company's provider, and let a device have what is granted to him.
package struct Approval: Sendable {
    package let subject: VerifiedSubject
    /// The highest revocation before the subject's proof was looked at: what is revoked from there on takes the session
    /// with it.
    package let revision: UInt64
    /// What the rules granted the subject, as they stood then.
    package let grant: Grant
    /// To show to the person; it decides nothing.
    package let email: ExactString?
    /// Nil where the provider gives none.
    package let providerToken: SecretBytes?
    /// `sid` of the ID token (OpenID Connect Back-Channel Logout §2.1).
    package let providerSession: ExactString?
    /// The address of the browser in which it was approved; nil where it is not known.
    package let approvedFrom: ExactString?
    /// By the clock that never goes back, when the proof was there: whoever is signed out from there on has approved
    /// nothing.
    package let proved: Duration
    /// What the device said of itself that it is for.
    package private(set) var device = DeviceDescription()

    /// The same for a device.
    func given(to device: DeviceDescription) -> Approval {
        var approval = self
        approval.device = device
        return approval
    }

    package init(
        subject: VerifiedSubject, since revision: UInt64, grant: Grant, email: ExactString? = nil,
        providerToken: SecretBytes? = nil, providerSession: ExactString? = nil, from browser: ExactString? = nil,
        proved: Duration = .zero
    ) {
        self.subject = subject
        self.revision = revision
        self.grant = grant
        self.email = email
        self.providerToken = providerToken
        self.providerSession = providerSession
        approvedFrom = browser
        self.proved = proved
    }
}
