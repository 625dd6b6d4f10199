package import JOSE

/// What a device says of itself when it asks to be signed in. Nothing of it is proved; it is shown to the person, who is
/// to recognise it.
package struct DeviceDescription: Sendable, Hashable {
    /// In bytes of UTF-8, of each part; longer ones are cut.
    package static let maximumLength = 80

    /// The program, by the parameter `surface`: `claude_code`, `daypass`.
    package let surface: ExactString?
    /// The machine, by the parameter `device_name`.
    package let name: ExactString?
    /// The header `User-Agent`.
    package let userAgent: ExactString?

    package init(surface: ExactString? = nil, name: ExactString? = nil, userAgent: ExactString? = nil) {
        self.surface = surface.flatMap(Self.shown)
        self.name = name.flatMap(Self.shown)
        self.userAgent = userAgent.flatMap(Self.shown)
    }

    /// By what the session is known in lists: the surface, or what the program calls itself.
    package var program: ExactString? { surface ?? userAgent }

    /// Printable ASCII of it: nothing here may turn around or hide what stands beside it.
    private static func shown(_ text: ExactString) -> ExactString? {
        let printable = text.utf8.filter { (0x20...0x7E).contains($0) }.prefix(maximumLength)
        guard printable.contains(where: { $0 != 0x20 }) else { return nil }
        return ExactString(String(decoding: printable, as: UTF8.self))
    }
}
