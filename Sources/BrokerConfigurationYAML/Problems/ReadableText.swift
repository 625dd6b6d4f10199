extension String {
    /// The text between quotes as a terminal may show it, for messages.
    var quoted: String { "\"\(readable(limit: 80))\"" }

    /// The text with control, bidirectional and other invisible characters as `\u{…}`, cut off after `limit` characters.
    func readable(limit: Int) -> String {
        var text = ""
        for (count, scalar) in unicodeScalars.enumerated() {
            guard count < limit else { return text + "…" }
            if scalar.isInvisible {
                text += "\\u{\(String(scalar.value, radix: 16, uppercase: true))}"
            } else {
                text.unicodeScalars.append(scalar)
            }
        }
        return text
    }
}

extension Unicode.Scalar {
    /// Whether it shows as nothing, or changes how its neighbours show: what an attack on the reader's eye is made of.
    var isInvisible: Bool {
        if (0x20...0x7E).contains(value) { return false }
        return switch properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator: true
        default: false
        }
    }
}
