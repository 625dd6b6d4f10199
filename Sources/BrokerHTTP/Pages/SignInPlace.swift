package import Broker
package import OpenSSL

/// Where people sign in: what the pages need that is the same for as long as the process lives.
package struct SignInPlace: Sendable {
    package let devices: DeviceAuthorizations
    package let provider: OpenIDProvider
    let random: any RandomSource
    let binding: BrowserBinding
    /// What came of returns whose code may have been sent to the provider, by the tags of their states: a provider that
    /// is shown a code twice takes back what it gave for it (RFC 6749 §4.1.2).
    let returns = CookieMemory<Return>(capacity: 16_384)
    /// Visits that their people have left, by their ids.
    let left = CookieMemory<Void>(capacity: 16_384)
    /// Of the log: anybody can bring the provider to prove nothing.
    let lines = LineLimit(perSecond: 10)

    enum Return: Sendable {
        case underWay
        case over(BrowserBinding.Ending)
    }

    /// - Parameter devices: those that the token endpoint asks.
    /// - Throws: where there is no randomness.
    package init(
        devices: DeviceAuthorizations, provider: OpenIDProvider, random: any RandomSource = SystemRandom()
    ) throws(OpenSSLError) {
        self.devices = devices
        self.provider = provider
        self.random = random
        binding = try BrowserBinding(from: random)
    }
}
