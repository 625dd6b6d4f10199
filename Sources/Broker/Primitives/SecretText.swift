/// Text that grants something to whoever reads it: a subject token, a gateway token.
///
/// Interpolated, printed or reflected it shows nothing; `reveal()` marks each place where it leaves.
package struct SecretText: Sendable {
    private let text: String

    package init(_ text: String) {
        self.text = text
    }

    /// In bytes of UTF-8.
    package var count: Int { text.utf8.count }

    package func reveal() -> String { text }
}

extension SecretText: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "(secret)" }
    package var debugDescription: String { "(secret)" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
