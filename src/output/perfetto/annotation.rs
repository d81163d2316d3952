//! Values as what the user interface shows beside a slice: the members that JSON has, each an annotation
//! (debug_annotation.proto).

use std::fmt::{Display, Error, Write};

use serde::ser::{Impossible, Serialize, SerializeMap, SerializeSeq, SerializeStruct, Serializer};

use super::message::{Message, Opened};
use super::names::{Named, Names};

/// Fields of `DebugAnnotation`.
const NAME_IID: u32 = 1;
const BOOL: u32 = 2;
const UINT: u32 = 3;
const INT: u32 = 4;
const DOUBLE: u32 = 5;
const STRING: u32 = 6;
const DICT_ENTRIES: u32 = 11;
const ARRAY_VALUES: u32 = 12;
/// What has no value is shown as text shows it.
const NOTHING: &str = "?";

/// Named values, each a message in that field.
#[derive(Debug)]
pub struct Annotations<'a> {
    message: &'a mut Message,
    names: &'a mut Names,
    field: u32,
    opened: Option<Opened>,
}

impl<'a> Annotations<'a> {
    pub fn new(message: &'a mut Message, names: &'a mut Names, field: u32) -> Self {
        Annotations { message, names, field, opened: None }
    }

    fn part(&mut self, is_name: bool) -> Part<'_> {
        Part { message: self.message, names: self.names, is_name }
    }
}

impl SerializeMap for Annotations<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: ?Sized + Serialize>(&mut self, key: &T) -> Result<(), Error> {
        self.opened = Some(self.message.open(self.field));
        key.serialize(self.part(true))
    }

    fn serialize_value<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(self.part(false))?;
        if let Some(opened) = self.opened.take() {
            self.message.close(opened);
        }
        Ok(())
    }

    fn end(self) -> Result<(), Error> {
        Ok(())
    }
}

impl SerializeStruct for Annotations<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: ?Sized + Serialize>(&mut self, key: &'static str, value: &T) -> Result<(), Error> {
        self.serialize_entry(key, value)
    }

    fn end(self) -> Result<(), Error> {
        Ok(())
    }
}

/// Values without names.
struct Items<'a> {
    message: &'a mut Message,
    names: &'a mut Names,
}

impl SerializeSeq for Items<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Error> {
        let opened = self.message.open(ARRAY_VALUES);
        value.serialize(Part { message: self.message, names: self.names, is_name: false })?;
        self.message.close(opened);
        Ok(())
    }

    fn end(self) -> Result<(), Error> {
        Ok(())
    }
}

/// The name or the value of an annotation.
struct Part<'a> {
    message: &'a mut Message,
    names: &'a mut Names,
    is_name: bool,
}

impl<'a> Serializer for Part<'a> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Items<'a>;
    type SerializeMap = Annotations<'a>;
    type SerializeTuple = Impossible<(), Error>;
    type SerializeTupleStruct = Impossible<(), Error>;
    type SerializeTupleVariant = Impossible<(), Error>;
    type SerializeStruct = Annotations<'a>;
    type SerializeStructVariant = Impossible<(), Error>;

    fn serialize_bool(self, yes: bool) -> Result<(), Error> {
        self.message.uint(BOOL, yes.into());
        Ok(())
    }

    fn serialize_i64(self, number: i64) -> Result<(), Error> {
        self.message.int(INT, number);
        Ok(())
    }

    fn serialize_u64(self, number: u64) -> Result<(), Error> {
        self.message.uint(UINT, number);
        Ok(())
    }

    fn serialize_f64(self, number: f64) -> Result<(), Error> {
        self.message.double(DOUBLE, number);
        Ok(())
    }

    fn serialize_str(self, text: &str) -> Result<(), Error> {
        match self.is_name {
            true => self.message.uint(NAME_IID, self.names.number(Named::Annotation, text)),
            false => self.message.string(STRING, text),
        }
        Ok(())
    }

    fn collect_str<T: ?Sized + Display>(self, text: &T) -> Result<(), Error> {
        if self.is_name {
            let number = self.names.number_of(Named::Annotation, &text);
            self.message.uint(NAME_IID, number);
            return Ok(());
        }
        let opened = self.message.open(STRING);
        let written = write!(self.message, "{text}");
        self.message.close(opened);
        written
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.serialize_str(NOTHING)
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Items<'a>, Error> {
        Ok(Items { message: self.message, names: self.names })
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Annotations<'a>, Error> {
        Ok(Annotations::new(self.message, self.names, DICT_ENTRIES))
    }

    fn serialize_i8(self, number: i8) -> Result<(), Error> {
        self.serialize_i64(number.into())
    }

    fn serialize_i16(self, number: i16) -> Result<(), Error> {
        self.serialize_i64(number.into())
    }

    fn serialize_i32(self, number: i32) -> Result<(), Error> {
        self.serialize_i64(number.into())
    }

    fn serialize_u8(self, number: u8) -> Result<(), Error> {
        self.serialize_u64(number.into())
    }

    fn serialize_u16(self, number: u16) -> Result<(), Error> {
        self.serialize_u64(number.into())
    }

    fn serialize_u32(self, number: u32) -> Result<(), Error> {
        self.serialize_u64(number.into())
    }

    fn serialize_f32(self, number: f32) -> Result<(), Error> {
        self.serialize_f64(number.into())
    }

    fn serialize_char(self, c: char) -> Result<(), Error> {
        self.serialize_str(c.encode_utf8(&mut [0; 4]))
    }

    // No value has one of the following.

    fn serialize_bytes(self, _: &[u8]) -> Result<(), Error> {
        Err(Error)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        Err(Error)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<(), Error> {
        Err(Error)
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(self, _: &'static str, _: &T) -> Result<(), Error> {
        Err(Error)
    }

    fn serialize_newtype_variant<T>(self, _: &'static str, _: u32, _: &'static str, _: &T) -> Result<(), Error>
    where
        T: ?Sized + Serialize,
    {
        Err(Error)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Error> {
        Err(Error)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, Error> {
        Err(Error)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Error> {
        Err(Error)
    }

    fn serialize_struct(self, _: &'static str, len: usize) -> Result<Annotations<'a>, Error> {
        self.serialize_map(Some(len))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Error> {
        Err(Error)
    }
}
