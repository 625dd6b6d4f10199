package import Broker
package import OpenSSL

/// Where people sign in: what the pages need that is the same for as long as the process lives.
package struct SignInPlace: Sendable {
    package let devices: DeviceAuthorizations
    package let provider: OpenIDProvider
    let random: any RandomSource
    let binding: BrowserBinding

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
