//! A deserializer around bincode's that allocates for what is there, never for what is claimed.
//!
//! bincode makes a buffer of the claimed length before it looks whether so many bytes follow, and its claims of sequence
//! lengths make serde reserve up to a mebibyte each. Here, strings and bytes are borrowed from the message, which checks
//! their length, and then copied by whoever wants to own them; sequences give no hint of their length.

use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor};

/// Wraps a deserializer, visitor, access or seed of serde.
pub(super) struct Careful<T>(pub T);

macro_rules! forward {
    ($($name:ident($($arg:ident: $type:ty),*) as $inner:ident;)*) => {
        $(fn $name<V: Visitor<'de>>(self, $($arg: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            self.0.$inner($($arg,)* Careful(visitor))
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Careful<D> {
    type Error = D::Error;

    forward! {
        deserialize_any() as deserialize_any;
        deserialize_bool() as deserialize_bool;
        deserialize_i8() as deserialize_i8;
        deserialize_i16() as deserialize_i16;
        deserialize_i32() as deserialize_i32;
        deserialize_i64() as deserialize_i64;
        deserialize_i128() as deserialize_i128;
        deserialize_u8() as deserialize_u8;
        deserialize_u16() as deserialize_u16;
        deserialize_u32() as deserialize_u32;
        deserialize_u64() as deserialize_u64;
        deserialize_u128() as deserialize_u128;
        deserialize_f32() as deserialize_f32;
        deserialize_f64() as deserialize_f64;
        deserialize_char() as deserialize_char;
        deserialize_str() as deserialize_str;
        // The two that make this module worth its lines.
        deserialize_string() as deserialize_str;
        deserialize_byte_buf() as deserialize_bytes;
        deserialize_bytes() as deserialize_bytes;
        deserialize_option() as deserialize_option;
        deserialize_unit() as deserialize_unit;
        deserialize_unit_struct(name: &'static str) as deserialize_unit_struct;
        deserialize_newtype_struct(name: &'static str) as deserialize_newtype_struct;
        deserialize_seq() as deserialize_seq;
        deserialize_tuple(len: usize) as deserialize_tuple;
        deserialize_tuple_struct(name: &'static str, len: usize) as deserialize_tuple_struct;
        deserialize_map() as deserialize_map;
        deserialize_struct(name: &'static str, fields: &'static [&'static str]) as deserialize_struct;
        deserialize_enum(name: &'static str, variants: &'static [&'static str]) as deserialize_enum;
        deserialize_identifier() as deserialize_identifier;
        deserialize_ignored_any() as deserialize_ignored_any;
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

macro_rules! visit {
    ($($name:ident: $type:ty;)*) => {
        $(fn $name<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.0.$name(value)
        })*
    };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Careful<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.expecting(f)
    }

    visit! {
        visit_bool: bool;
        visit_i8: i8;
        visit_i16: i16;
        visit_i32: i32;
        visit_i64: i64;
        visit_i128: i128;
        visit_u8: u8;
        visit_u16: u16;
        visit_u32: u32;
        visit_u64: u64;
        visit_u128: u128;
        visit_f32: f32;
        visit_f64: f64;
        visit_char: char;
        visit_borrowed_str: &'de str;
        visit_borrowed_bytes: &'de [u8];
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(Careful(inner))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(Careful(inner))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Careful(access))
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Careful(access))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.0.visit_enum(Careful(access))
    }
}

// No `size_hint`: its default is that nothing is known.
impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Careful<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Careful(seed))
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Careful<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_key_seed(Careful(seed))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(Careful(seed))
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for Careful<A> {
    type Error = A::Error;
    type Variant = Careful<A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), A::Error> {
        let (value, variant) = self.0.variant_seed(Careful(seed))?;
        Ok((value, Careful(variant)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Careful<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.0.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.0.newtype_variant_seed(Careful(seed))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.0.tuple_variant(len, Careful(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.0.struct_variant(fields, Careful(visitor))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Careful<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Careful(inner))
    }
}
