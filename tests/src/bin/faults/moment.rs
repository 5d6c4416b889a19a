//! What a broker is at.

macro_rules! moments {
    ($($variant:ident = $letter:literal, $words:literal;)*) => {
        /// What a broker is at when something is killed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Moment { $(#[doc = $words] $variant,)* }

        impl Moment {
            /// All of them.
            pub const ALL: &'static [Moment] = &[$(Moment::$variant,)*];

            /// As the host writes it.
            pub fn letter(self) -> u8 {
                match self { $(Moment::$variant => $letter,)* }
            }

            /// In words.
            pub fn words(self) -> &'static str {
                match self { $(Moment::$variant => $words,)* }
            }
        }
    };
}

moments! {
    Build = b'b', "making a broker";
    Compile = b'w', "compiling, cache write";
    Start = b's', "starting a worker";
    Direct = b'd', "direct calls";
    Shared = b'r', "calls of replicas, threads";
    Awaited = b'a', "awaited calls";
    Cells = b'c', "starts from cells";
    Reload = b'l', "reload, new workers";
    End = b'e', "the broker's end";
}

impl Moment {
    /// The one of this letter.
    pub fn of(letter: u8) -> Option<Moment> {
        Moment::ALL.iter().copied().find(|moment| moment.letter() == letter)
    }
}
