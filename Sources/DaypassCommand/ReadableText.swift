/// Text from outside on a terminal: what could move the cursor, hide or reorder other text is written as its number.
enum ReadableText {
    static func escaped(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: isHidden) else { return text }
        var output = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            if isHidden(scalar) {
                output.append(contentsOf: "\\u{\(String(scalar.value, radix: 16, uppercase: true))}".unicodeScalars)
            } else {
                output.append(scalar)
            }
        }
        return String(output)
    }

    private static func isHidden(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        // Bidirectional controls, zero-width characters and tags are of the category format.
        case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned: true
        case .spaceSeparator: scalar != " "
        // What is drawn as nothing (Unicode's Default_Ignorable_Code_Point), such as variation selectors and fillers.
        default: scalar.properties.isDefaultIgnorableCodePoint
        }
    }

    /// How many columns of a terminal the text takes.
    static func width(_ text: String) -> Int {
        text.unicodeScalars.reduce(0) { $0 + width($1) }
    }

    static func width(_ scalar: Unicode.Scalar) -> Int {
        if scalar.isASCII { return 1 }
        switch scalar.properties.generalCategory {
        case .nonspacingMark, .enclosingMark: return 0
        default: return isWide(scalar.value) ? 2 : 1
        }
    }

    /// The blocks of East Asian wide and full-width characters (Unicode Standard Annex 11), and emoji.
    private static func isWide(_ value: UInt32) -> Bool {
        switch value {
        case 0x1100...0x115F, 0x2E80...0x303E, 0x3041...0x33FF, 0x3400...0x4DBF, 0x4E00...0x9FFF, 0xA000...0xA4CF,
            0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F, 0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x1F300...0x1F64F,
            0x1F900...0x1F9FF, 0x20000...0x3FFFD:
            true
        default: false
        }
    }

    /// The text, or as much of it as fits before an ellipsis.
    static func fitted(_ text: String, to width: Int) -> String {
        guard Self.width(text) > width else { return text }
        var (output, used) = (String.UnicodeScalarView(), 0)
        for scalar in text.unicodeScalars {
            let next = Self.width(scalar)
            guard used + next < width else { break }
            output.append(scalar)
            used += next
        }
        return String(output) + "…"
    }
}

extension ReadableText {
    /// The same, with line feeds as they are: for messages of several lines.
    static func lines(_ text: String) -> String {
        text.split(separator: "\n", omittingEmptySubsequences: false).map { escaped(String($0)) }
            .joined(separator: "\n")
    }
}

extension ReadableText {
    /// JSON that means the same and hides nothing: such characters stand in strings alone, where they may be written as
    /// their numbers (RFC 8259 §7).
    static func json(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: { $0 != "\n" && isHidden($0) }) else { return text }
        var output = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            guard scalar != "\n", isHidden(scalar) else {
                output.append(scalar)
                continue
            }
            for unit in String(scalar).utf16 {
                let digits = String(unit, radix: 16)
                output.append(
                    contentsOf: "\\u\(String(repeating: "0", count: 4 - digits.count))\(digits)".unicodeScalars)
            }
        }
        return String(output)
    }
}

extension ReadableText {
    /// YAML that means the same and hides nothing: such characters stand in double quotes alone, where they may be written
    /// as their numbers (YAML 1.2 §5.7), those beyond four digits otherwise than in JSON.
    static func yaml(_ text: String) -> String {
        var output = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            guard isHidden(scalar) else {
                output.append(scalar)
                continue
            }
            let digits = String(scalar.value, radix: 16)
            let (letter, length) = scalar.value > 0xFFFF ? ("U", 8) : ("u", 4)
            output.append(
                contentsOf: "\\\(letter)\(String(repeating: "0", count: length - digits.count))\(digits)".unicodeScalars
            )
        }
        return String(output)
    }
}
